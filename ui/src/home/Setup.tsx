import { Link } from "@tanstack/react-router";
import { ArrowRight, Check, TriangleAlert } from "lucide-react";
import { useState } from "react";
import type { Status } from "../api/contract";
import { useLiveStatus } from "../api/status";
import { ago, plural } from "../format";
import { Snippet, Tabs } from "../kit";
import { useNow } from "../kit/useNow";
import { type ClientKind, clientKinds } from "./snippets";

function arrivals(
  status: Status,
  kind: ClientKind,
): { events: number; last?: string; rejected: number; reason?: string } {
  const sources = status.sources.filter((s) => !kind.sources || kind.sources.includes(s.source));
  return {
    events: sources.reduce((n, s) => n + s.events, 0),
    last:
      sources
        .map((s) => s.last_event_at ?? "")
        .sort()
        .at(-1) || undefined,
    rejected: sources.reduce((n, s) => n + s.rejected, 0),
    reason: sources.find((s) => s.last_rejection)?.last_rejection?.reason,
  };
}

/** How to point each kind of client here, and whether its first event came. */
export function Setup({ status }: { status: Status }) {
  useLiveStatus();
  const now = useNow(5000);
  const kinds = clientKinds(status);
  const [chosen, setChosen] = useState("all");
  const kind = kinds.find((k) => k.id === chosen) ?? kinds[0];
  if (!kind) return null;
  const got = arrivals(status, kind);
  return (
    <div className="setup">
      <Tabs
        label="Kind of client"
        panel="setup-panel"
        value={chosen}
        onChange={setChosen}
        tabs={kinds.map((k) => ({
          id: k.id,
          name: (
            <span className="row" style={{ gap: 6 }}>
              {k.name}
              {k.sources && arrivals(status, k).events > 0 && (
                <Check size={13} className="arrived" aria-label="events have arrived" />
              )}
            </span>
          ),
        }))}
      />
      <div id="setup-panel" role="tabpanel" aria-labelledby={`setup-panel-${kind.id}`} className="setup-panel">
        <p className="soft">{kind.intro}</p>
        <ol>
          {kind.steps.map((step) => (
            <li key={step.title}>
              <h3>{step.title}</h3>
              <Snippet text={step.text} label={step.title} />
            </li>
          ))}
        </ol>
        <div className={got.events > 0 ? "first-event come" : "first-event"} role="status">
          {got.events > 0 ? (
            <>
              <Check size={14} aria-hidden />
              <span className="grow">
                {plural(got.events, "event")} received{got.last && `, the newest ${ago(got.last, now)}`}.
              </span>
              <Link to={kind.id === "logs" ? "/logs" : "/traces"} className="btn small primary">
                {kind.id === "logs" ? "See the logs" : "See the traces"} <ArrowRight size={13} aria-hidden />
              </Link>
            </>
          ) : (
            <>
              <span className="waiting" aria-hidden />
              <span>waiting for first event…</span>
            </>
          )}
        </div>
        {got.rejected > 0 && (
          <p className="notice warn">
            <TriangleAlert size={13} aria-hidden />
            {plural(got.rejected, "event was", "events were")} refused
            {got.reason && `; the last because: ${got.reason}`}
          </p>
        )}
        {status.auth === "off" && (
          <p className="dim setup-note">
            Keys are not checked on this server: any key, and any AWS credentials, will do.
          </p>
        )}
      </div>
    </div>
  );
}
