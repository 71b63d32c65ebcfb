import { useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import {
  ChartLine,
  House,
  Keyboard,
  ListTree,
  Logs,
  Moon,
  Network,
  PanelLeft,
  RefreshCw,
  Search,
  Sun,
} from "lucide-react";
import { useCallback, useEffect, useRef, useState } from "react";
import { useStatus } from "../api/status";
import { TimePicker } from "../time/TimePicker";
import { HelpDialog } from "./HelpDialog";
import { Mark } from "./Mark";
import { Palette } from "./Palette";
import { setPreferences, usePreferences } from "./preferences";
import { useShortcuts } from "./shortcuts";
import "./shell.css";

const PAGES = [
  { to: "/", name: "Home", icon: House, key: "h" },
  { to: "/q", name: "Query", icon: ChartLine, key: "q" },
  { to: "/traces", name: "Traces", icon: ListTree, key: "t" },
  { to: "/logs", name: "Logs", icon: Logs, key: "l" },
  { to: "/map", name: "Map", icon: Network, key: "m" },
] as const;

/** Moves the focus to the heading of a page after the address changed to it, and names the document after it. */
function useRouteFocus(main: React.RefObject<HTMLElement | null>) {
  const { pathname } = useLocation();
  const first = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the path is the occasion, not an input
  useEffect(() => {
    const area = main.current;
    if (!area) return;
    let moved = first.current;
    first.current = false;
    // Lazy pages bring their heading later than the address.
    const settle = () => {
      const heading = area.querySelector("h1");
      if (!heading) return;
      document.title = `${heading.textContent ?? ""} · Trefoil`;
      if (!moved) {
        moved = true;
        heading.tabIndex = -1;
        if (!area.contains(document.activeElement) || document.activeElement === area)
          heading.focus({ preventScroll: true });
      }
    };
    settle();
    const watch = new MutationObserver(settle);
    watch.observe(area, { subtree: true, childList: true, characterData: true });
    return () => watch.disconnect();
  }, [pathname, main]);
}

/** The frame of every page: rail, top bar, palette, help. */
export function Shell() {
  const { rail, theme } = usePreferences();
  const { data: status, isError } = useStatus();
  const client = useQueryClient();
  const navigate = useNavigate();
  const main = useRef<HTMLElement>(null);
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const [live, setLive] = useState(false);
  useRouteFocus(main);

  const refresh = useCallback(() => void client.invalidateQueries(), [client]);
  useEffect(() => {
    if (!live) return;
    const timer = setInterval(refresh, 5000);
    return () => clearInterval(timer);
  }, [live, refresh]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && !event.shiftKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setPalette((open) => !open);
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);

  useShortcuts({
    "?": () => setHelp(true),
    "/": () => {
      const field = document.querySelector<HTMLInputElement>("main [data-query]");
      if (field) field.select();
      else setPalette(true);
    },
    r: refresh,
    ...Object.fromEntries(PAGES.map((p) => [`g ${p.key}`, () => void navigate({ to: p.to })])),
  });

  const dark = theme === "dark" || (theme === "system" && document.documentElement.dataset.theme === "dark");
  return (
    <div className="shell" data-rail={rail}>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <nav className="rail" aria-label="Pages">
        <Link to="/" className="brand" aria-label="Trefoil home">
          <Mark />
          <span className="name">Trefoil</span>
        </Link>
        <ul>
          {PAGES.map(({ to, name, icon: Icon, key }) => (
            <li key={to}>
              <Link
                to={to}
                activeOptions={{ exact: to === "/", includeSearch: false }}
                activeProps={{ "aria-current": "page" }}
                title={`${name} (g ${key})`}
                aria-label={name}
              >
                <Icon size={16} strokeWidth={1.75} aria-hidden />
                <span className="name">{name}</span>
              </Link>
            </li>
          ))}
        </ul>
        <div className="rail-foot">
          {status && (
            <span className="version name" title={`Running since ${status.started_at}`}>
              {status.version}
            </span>
          )}
          <button
            type="button"
            className="btn quiet icon"
            aria-label={rail === "wide" ? "Collapse the navigation" : "Expand the navigation"}
            title={rail === "wide" ? "Collapse" : "Expand"}
            onClick={() => setPreferences({ rail: rail === "wide" ? "narrow" : "wide" })}
          >
            <PanelLeft size={16} strokeWidth={1.75} aria-hidden />
          </button>
        </div>
      </nav>
      <header className="top">
        <Link to="/" className="top-mark" aria-label="Trefoil home">
          <Mark />
        </Link>
        <div className="env" title={status ? `Account ${status.account}, region ${status.region}` : undefined}>
          <span className={isError ? "env-dot down" : "env-dot"} aria-hidden />
          <span className="cut">{isError ? "Server unreachable" : (status?.environment ?? "…")}</span>
          {status && !isError && <span className="dim region">{status.region}</span>}
        </div>
        <button type="button" className="finder" onClick={() => setPalette(true)}>
          <Search size={13} aria-hidden />
          <span className="cut">Paste a trace id, find a page or log group</span>
          <kbd aria-hidden>{navigator.platform.startsWith("Mac") ? "⌘K" : "Ctrl K"}</kbd>
        </button>
        <div className="top-tools">
          <TimePicker />
          <div className="pair">
            <button type="button" className="btn icon" aria-label="Refresh" title="Refresh (r)" onClick={refresh}>
              <RefreshCw size={13} aria-hidden />
            </button>
            <button
              type="button"
              className="btn live"
              aria-pressed={live}
              title="Refresh every 5 seconds"
              onClick={() => setLive(!live)}
            >
              {live && <span className="live-dot" aria-hidden />}
              Live
            </button>
          </div>
          <button
            type="button"
            className="btn quiet icon"
            aria-label={dark ? "Use the light theme" : "Use the dark theme"}
            title={dark ? "Light theme" : "Dark theme"}
            onClick={() => setPreferences({ theme: dark ? "light" : "dark" })}
          >
            {dark ? <Sun size={15} aria-hidden /> : <Moon size={15} aria-hidden />}
          </button>
          <button
            type="button"
            className="btn quiet icon help"
            aria-label="Keyboard shortcuts"
            title="Keyboard shortcuts (?)"
            onClick={() => setHelp(true)}
          >
            <Keyboard size={15} aria-hidden />
          </button>
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <Outlet />
      </main>
      {palette && <Palette pages={PAGES} onClose={() => setPalette(false)} />}
      {help && <HelpDialog onClose={() => setHelp(false)} />}
    </div>
  );
}
