import { useVirtualizer } from "@tanstack/react-virtual";
import {
  ChevronDown,
  ChevronRight,
  ChevronsDownUp,
  ChevronsUpDown,
  ChevronUp,
  CircleDot,
  CircleX,
  Link2,
  Logs,
  Route,
  Search,
  X,
} from "lucide-react";
import { type CSSProperties, type KeyboardEvent, type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { duration } from "../format";
import { Duration, StatusIcon, sourceHue } from "../kit";
import { useWidth } from "../kit/useWidth";
import { setPreferences, usePreferences } from "../shell/preferences";
import { useShortcuts } from "../shell/shortcuts";
import { Minimap } from "./Minimap";
import {
  criticalPath,
  isException,
  isHidden,
  isMark,
  isTrouble,
  matches,
  type Node,
  severityStatus,
  shortHash,
  type Tree,
  ticks,
  visibleNodes,
} from "./tree";

const ROW = 24;
const INDENT = 14;

/** The part of the URL that the waterfall reads and writes. */
export interface WaterfallSearch {
  span?: string;
  find?: string;
  shut?: string;
  zoom?: string;
  hide?: string;
  path?: string;
}

function parseZoom(text: string | undefined, length: number): { from: number; to: number } {
  const match = /^(-?[\d.]+)-([\d.]+)$/.exec(text ?? "");
  const from = Number(match?.[1]);
  const to = Number(match?.[2]);
  return match && to > from ? { from, to } : { from: 0, to: length };
}

/** The tree of a trace beside its time line: a treegrid, of which only the rows in view are in the document. */
export function Waterfall({
  tree,
  search,
  set,
  selected,
  onClose,
}: {
  tree: Tree;
  search: WaterfallSearch;
  set: (change: WaterfallSearch) => void;
  selected: Node | undefined;
  onClose: () => void;
}) {
  const preferences = usePreferences();
  const scroller = useRef<HTMLDivElement>(null);
  const finder = useRef<HTMLInputElement>(null);
  const [frame, width] = useWidth<HTMLElement>();

  const shut = useMemo(() => {
    const hashes = new Set((search.shut ?? "").split(".").filter(Boolean));
    return new Set(tree.nodes.filter((n) => hashes.has(shortHash(n.row.id))).map((n) => n.row.id));
  }, [tree, search.shut]);
  const hide = (search.hide ?? "").split(",");
  const hidden = useMemo(() => {
    const kinds = (search.hide ?? "").split(",");
    return { shut, logs: kinds.includes("logs"), events: kinds.includes("events") };
  }, [shut, search.hide]);
  const visible = useMemo(() => visibleNodes(tree, hidden), [tree, hidden]);
  const window_ = parseZoom(search.zoom, tree.length);
  const find = (search.find ?? "").trim().toLowerCase();
  const hits = useMemo(
    () => tree.nodes.filter((n) => !isHidden(n.row, hidden) && matches(n.row, find)),
    [tree, find, hidden],
  );
  const hitIds = useMemo(() => new Set(hits.map((n) => n.row.id)), [hits]);
  const troubles = useMemo(
    () => tree.nodes.filter((n) => !isHidden(n.row, hidden) && isTrouble(n.row)),
    [tree, hidden],
  );
  const path = useMemo(() => (search.path ? criticalPath(tree) : undefined), [tree, search.path]);
  const counts = useMemo(
    () => ({
      logs: tree.nodes.filter((n) => n.row.kind === "log").length,
      events: tree.nodes.filter((n) => n.row.kind === "span_event" || n.row.kind === "link").length,
    }),
    [tree],
  );

  // The row that keys start from, also after the panel was closed.
  const [last, setLast] = useState<string | undefined>(selected?.row.id);
  if (selected && selected.row.id !== last) setLast(selected.row.id);
  const cursor = Math.max(
    0,
    visible.findIndex((n) => n.row.id === last),
  );

  const rows = useVirtualizer({
    count: visible.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
    initialRect: { width: 800, height: 600 },
  });

  // The scroll bar takes from the rows, but not from the frame that the divider stands in.
  const [scrollBar, setScrollBar] = useState(0);
  useEffect(() => {
    const element = scroller.current;
    if (element && width > 0) setScrollBar(element.offsetWidth - element.clientWidth);
  }, [width]);

  const refocus = useRef(false);
  const setShut = (ids: Iterable<string>) => set({ shut: [...ids].map(shortHash).join(".") || undefined });
  const toggle = (node: Node, open: boolean) => {
    const next = new Set(shut);
    if (open) next.delete(node.row.id);
    else next.add(node.row.id);
    setShut(next);
  };
  /** Selects a row, opening what hides it, and brings it into view. */
  const go = (node: Node | undefined) => {
    if (!node) return;
    const closed = new Set(shut);
    for (let at = node.parent; at; at = at.parent) closed.delete(at.row.id);
    const change: WaterfallSearch = { span: node.row.id };
    if (closed.size !== shut.size) change.shut = [...closed].map(shortHash).join(".") || undefined;
    set(change);
    setLast(node.row.id);
    const index = visibleNodes(tree, { ...hidden, shut: closed }).indexOf(node);
    if (index >= 0) rows.scrollToIndex(index, { align: "auto" });
  };
  const jump = (list: Node[], step: 1 | -1) => {
    if (list.length === 0) return;
    const here = tree.byId.get(last ?? "")?.index ?? -1;
    const next = step > 0 ? list.find((n) => n.index > here) : list.findLast((n) => n.index < here);
    go(next ?? (step > 0 ? list[0] : list.at(-1)));
  };
  const collapsible = () => tree.nodes.filter((n) => n.children.length > 0);

  // The first selection of a link may be far down.
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) return;
    first.current = false;
    if (search.span && cursor > 10) rows.scrollToIndex(cursor, { align: "center" });
  });
  useEffect(() => {
    if (!refocus.current) return;
    const row = scroller.current?.querySelector<HTMLElement>('[role="row"][tabindex="0"]');
    if (!row) return;
    refocus.current = false;
    row.focus({ preventScroll: true });
  });

  const move = (index: number) => {
    const node = visible[Math.max(0, Math.min(visible.length - 1, index))];
    if (!node) return;
    refocus.current = true;
    go(node);
  };
  const onKey = (event: KeyboardEvent) => {
    const node = visible[cursor];
    if (!node || event.metaKey || event.ctrlKey || event.altKey) return;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 240) / ROW) - 2);
    const parent = node.children.length > 0;
    const open = parent && !shut.has(node.row.id);
    switch (event.key) {
      case "ArrowDown":
        move(cursor + 1);
        break;
      case "ArrowUp":
        move(cursor - 1);
        break;
      case "PageDown":
        move(cursor + page);
        break;
      case "PageUp":
        move(cursor - page);
        break;
      case "Home":
        move(0);
        break;
      case "End":
        move(visible.length - 1);
        break;
      case "ArrowRight":
        if (open) move(cursor + 1);
        else if (parent) toggle(node, true);
        break;
      case "ArrowLeft":
        if (open) toggle(node, false);
        else if (node.parent) move(visible.indexOf(node.parent));
        break;
      case "Enter":
      case " ":
        go(node);
        break;
      default:
        return;
    }
    event.preventDefault();
  };
  useShortcuts({
    j: () => move(cursor + 1),
    k: () => move(cursor - 1),
    "[": () =>
      setShut(
        collapsible()
          .filter((n) => n.depth > 0 || n.siblings > 1)
          .map((n) => n.row.id),
      ),
    "]": () => setShut([]),
    e: () => jump(troubles, 1),
    E: () => jump(troubles, -1),
    f: () => finder.current?.select(),
    n: () => jump(hits, 1),
    N: () => jump(hits, -1),
    c: () => set({ path: search.path ? undefined : "1" }),
    "0": () => set({ zoom: undefined }),
    Escape: onClose,
  });

  const toggleKind = (kind: "logs" | "events") => {
    const next = hide.includes(kind) ? hide.filter((k) => k !== kind) : [...hide, kind];
    set({ hide: next.filter(Boolean).join(",") || undefined });
  };
  const drag = (event: PointerEvent<HTMLElement>) => {
    const handle = event.currentTarget;
    handle.setPointerCapture(event.pointerId);
    const area = frame.current?.getBoundingClientRect();
    if (!area) return;
    const moveTo = (e: globalThis.PointerEvent) =>
      setPreferences({ tree: Math.max(18, Math.min(75, ((e.clientX - area.left) / area.width) * 100)) });
    const up = () => {
      handle.removeEventListener("pointermove", moveTo);
      handle.removeEventListener("pointerup", up);
    };
    handle.addEventListener("pointermove", moveTo);
    handle.addEventListener("pointerup", up);
  };

  const place = hits.findIndex((n) => n.row.id === last);
  const span = window_.to - window_.from;
  const share = (at: number) => ((at - window_.from) / span) * 100;
  // On narrow screens the tree takes more than its share.
  const lineWidth = width * (width < 720 ? 0.46 : 1 - preferences.tree / 100);
  const marks = ticks(window_.from, window_.to, Math.max(2, Math.min(10, Math.floor(lineWidth / 84))));
  return (
    <section
      className="waterfall"
      aria-label="Waterfall"
      ref={frame}
      style={
        {
          "--tree-share": `${preferences.tree}%`,
          "--tree-shift": `${(scrollBar * preferences.tree) / 100}px`,
        } as CSSProperties
      }
    >
      <div className="wf-tools" role="toolbar" aria-label="Waterfall tools">
        <div className="field wf-find">
          <Search size={13} aria-hidden />
          <input
            ref={finder}
            type="search"
            data-query=""
            aria-label="Find in the trace"
            placeholder="Find in names, fields, messages"
            value={search.find ?? ""}
            spellCheck={false}
            onChange={(event) => set({ find: event.target.value || undefined })}
            onKeyDown={(event) => {
              if (event.key === "Enter") {
                event.preventDefault();
                jump(hits, event.shiftKey ? -1 : 1);
              } else if (event.key === "Escape") {
                event.preventDefault();
                set({ find: undefined });
                event.currentTarget.blur();
              }
            }}
          />
          {find !== "" && (
            <>
              <output className="dim" aria-label="Matches">
                {place >= 0 ? `${place + 1}/` : ""}
                {hits.length}
              </output>
              <button
                type="button"
                className="btn quiet icon small"
                aria-label="Clear the search"
                onClick={() => set({ find: undefined })}
              >
                <X size={12} aria-hidden />
              </button>
            </>
          )}
        </div>
        {troubles.length > 0 && (
          <div className="wf-errors">
            <span className="badge fault">
              <CircleX size={11} aria-hidden />
              {troubles.length}
              <span className="word">{troubles.length === 1 ? "problem" : "problems"}</span>
            </span>
            <button
              type="button"
              className="btn quiet icon small"
              aria-label="Previous error"
              title="Previous error (E)"
              onClick={() => jump(troubles, -1)}
            >
              <ChevronUp size={14} aria-hidden />
            </button>
            <button
              type="button"
              className="btn quiet icon small"
              aria-label="Next error"
              title="Next error (e)"
              onClick={() => jump(troubles, 1)}
            >
              <ChevronDown size={14} aria-hidden />
            </button>
          </div>
        )}
        <span className="grow" />
        {search.zoom && (
          <button
            type="button"
            className="btn small"
            title="Show the whole trace (0)"
            onClick={() => set({ zoom: undefined })}
          >
            Whole trace
          </button>
        )}
        {counts.logs > 0 && (
          <button
            type="button"
            className="btn quiet small"
            aria-pressed={!hidden.logs}
            title="Log lines as rows; else as dots on the bars"
            onClick={() => toggleKind("logs")}
          >
            <Logs size={13} aria-hidden /> Logs
          </button>
        )}
        {counts.events > 0 && (
          <button
            type="button"
            className="btn quiet small"
            aria-pressed={!hidden.events}
            title="Span events as rows; else as dots on the bars"
            onClick={() => toggleKind("events")}
          >
            <CircleDot size={13} aria-hidden /> Events
          </button>
        )}
        <button
          type="button"
          className="btn quiet small"
          aria-pressed={!!search.path}
          title="What kept the trace from ending sooner (c)"
          onClick={() => set({ path: search.path ? undefined : "1" })}
        >
          <Route size={13} aria-hidden /> <span className="word">Critical path</span>
        </button>
        <button
          type="button"
          className="btn quiet icon small"
          aria-label="Collapse all"
          title="Collapse all ([)"
          onClick={() =>
            setShut(
              collapsible()
                .filter((n) => n.depth > 0 || n.siblings > 1)
                .map((n) => n.row.id),
            )
          }
        >
          <ChevronsDownUp size={14} aria-hidden />
        </button>
        <button
          type="button"
          className="btn quiet icon small"
          aria-label="Expand all"
          title="Expand all (])"
          onClick={() => setShut([])}
        >
          <ChevronsUpDown size={14} aria-hidden />
        </button>
      </div>
      <Minimap
        tree={tree}
        view={window_}
        onView={(view) => set({ zoom: view && `${view.from.toFixed(3)}-${view.to.toFixed(3)}` })}
      />
      <div className="wf-frame">
        <div
          className="wf-grid"
          role="treegrid"
          aria-label="Spans, subsegments and log lines"
          aria-rowcount={visible.length + 1}
          aria-colcount={2}
          onKeyDown={onKey}
        >
          <div role="rowgroup">
            <div className="wf-head" role="row" aria-rowindex={1}>
              <div className="wf-name" role="columnheader">
                Name
              </div>
              <div className="wf-line wf-axis" role="columnheader" aria-label="Time line">
                {marks.map((at) => (
                  <span
                    key={at}
                    style={{ left: `${share(at)}%` }}
                    className={share(at) > 94 ? "end" : undefined}
                    aria-hidden
                  >
                    {duration(at)}
                  </span>
                ))}
              </div>
            </div>
          </div>
          <div className="wf-scroll" ref={scroller} role="rowgroup">
            <div className="wf-sheet" role="presentation" style={{ height: rows.getTotalSize() }}>
              <div className="wf-rules" aria-hidden>
                {marks.map((at) => (
                  <i key={at} style={{ left: `${share(at)}%` }} />
                ))}
              </div>
              {rows.getVirtualItems().map((item) => {
                const node = visible[item.index];
                return (
                  node && (
                    <WaterfallRow
                      key={node.row.id}
                      node={node}
                      top={item.start}
                      rowIndex={item.index + 2}
                      open={node.children.length > 0 ? !shut.has(node.row.id) : undefined}
                      selected={selected === node}
                      focusable={item.index === cursor}
                      found={find === "" ? undefined : hitIds.has(node.row.id)}
                      path={path?.get(node.row.id)}
                      onPath={path !== undefined}
                      share={share}
                      dots={node.children.filter(
                        (c) => isMark(c.row) && (isHidden(c.row, hidden) || shut.has(node.row.id)),
                      )}
                      onSelect={() => go(node)}
                      onToggle={() => toggle(node, shut.has(node.row.id))}
                    />
                  )
                );
              })}
            </div>
          </div>
        </div>
        <div
          className="wf-split"
          role="separator"
          tabIndex={0}
          aria-orientation="vertical"
          aria-label="Width of the tree"
          aria-valuenow={Math.round(preferences.tree)}
          aria-valuemin={18}
          aria-valuemax={75}
          onPointerDown={drag}
          onDoubleClick={() => setPreferences({ tree: 40 })}
          onKeyDown={(event) => {
            const step = event.key === "ArrowRight" ? 2 : event.key === "ArrowLeft" ? -2 : 0;
            if (step === 0) return;
            event.preventDefault();
            event.stopPropagation();
            setPreferences({ tree: Math.max(18, Math.min(75, preferences.tree + step)) });
          }}
        />
      </div>
    </section>
  );
}

function WaterfallRow({
  node,
  top,
  rowIndex,
  open,
  selected,
  focusable,
  found,
  path,
  onPath,
  share,
  dots,
  onSelect,
  onToggle,
}: {
  node: Node;
  top: number;
  rowIndex: number;
  open: boolean | undefined;
  selected: boolean;
  focusable: boolean;
  found: boolean | undefined;
  path: [number, number][] | undefined;
  onPath: boolean;
  share: (at: number) => number;
  dots: Node[];
  onSelect: () => void;
  onToggle: () => void;
}) {
  const { row } = node;
  const mark = isMark(row);
  const trouble = mark ? (isException(row) ? "fault" : severityStatus(row.severity)) : row.status;
  const left = share(node.from);
  const right = share(node.to);
  const classes = [
    "wf-row",
    sourceHue(row.source),
    mark ? "mark" : "",
    found ? "found" : "",
    found === false || (onPath && !path && !mark) ? "faint" : "",
  ];
  const what = [
    row.service,
    row.kind === "log" ? `log line ${row.severity ?? ""}` : row.kind.replace("_", " "),
    trouble === "ok" ? "" : trouble,
    mark ? "" : duration(row.duration_ms),
  ];
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the grid handles keys
    <div
      role="row"
      className={classes.filter(Boolean).join(" ")}
      style={{ transform: `translateY(${top}px)` }}
      aria-level={node.depth + 1}
      aria-setsize={node.siblings}
      aria-posinset={node.position}
      aria-expanded={open}
      aria-selected={selected}
      aria-rowindex={rowIndex}
      aria-label={`${row.name}, ${what.filter(Boolean).join(", ")}`}
      data-source={row.source}
      tabIndex={focusable ? 0 : -1}
      onClick={onSelect}
    >
      <div className="wf-name" role="gridcell">
        <span className="guides" style={{ width: Math.min(node.depth, 16) * INDENT }} aria-hidden />
        {open === undefined ? (
          <span className="twist" aria-hidden />
        ) : (
          <button
            type="button"
            className="twist"
            tabIndex={-1}
            aria-label={open ? "Collapse" : "Expand"}
            onClick={(event) => {
              event.stopPropagation();
              onToggle();
            }}
          >
            {open ? <ChevronDown size={12} aria-hidden /> : <ChevronRight size={12} aria-hidden />}
          </button>
        )}
        <span className="hue" aria-hidden />
        {row.kind === "log" && <Logs size={12} className="kind" aria-hidden />}
        {row.kind === "span_event" && trouble === "ok" && <CircleDot size={11} className="kind" aria-hidden />}
        {row.kind === "link" && <Link2 size={12} className="kind" aria-hidden />}
        <StatusIcon status={trouble} size={12} />
        {mark ? (
          <span className={row.kind === "log" ? "cut mono" : "cut"} title={row.message ?? row.name}>
            {row.name}
          </span>
        ) : (
          <span className={row.inferred ? "cut inferred" : "cut"} title={`${row.service}: ${row.name}`}>
            {node.parent?.row.service !== row.service && <b>{row.service}</b>}
            {(node.parent?.row.service === row.service || row.name !== row.service) && row.name}
          </span>
        )}
        {open === false && <span className="more">{node.size}</span>}
      </div>
      <div className="wf-line" role="gridcell">
        {mark ? (
          <span className={`dot ${trouble}`} style={{ left: `${left}%` }} />
        ) : (
          <span
            className={["bar", row.status, row.in_progress ? "running" : "", row.inferred ? "inferred" : ""]
              .filter(Boolean)
              .join(" ")}
            style={{ left: `${left}%`, width: `${right - left}%` }}
          />
        )}
        {path?.map(([from, to]) => (
          <span key={from} className="path" style={{ left: `${share(from)}%`, width: `${share(to) - share(from)}%` }} />
        ))}
        {dots.map((dot) => (
          <span
            key={dot.row.id}
            className={`dot on-bar ${isException(dot.row) ? "fault" : severityStatus(dot.row.severity)}`}
            style={{ left: `${share(dot.from)}%` }}
            title={dot.row.message ?? dot.row.name}
          />
        ))}
        {mark ? (
          <span className="len faint" style={left < 84 ? { left: `${left}%` } : { right: `${100 - left}%` }}>
            +{duration(node.from)}
          </span>
        ) : (
          <span
            className={right > 88 && left < 14 ? "len inside" : "len"}
            style={
              right <= 88
                ? { left: `${Math.max(0, right)}%` }
                : left >= 14
                  ? { right: `${100 - Math.min(100, left)}%` }
                  : { right: `${Math.max(0, 100 - right)}%` }
            }
          >
            {row.in_progress ? "running" : <Duration ms={row.duration_ms} />}
          </span>
        )}
      </div>
    </div>
  );
}
