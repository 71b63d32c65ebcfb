import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Cloud, Database, ListFilter, ListTree, Network, Rows3, User, X } from "lucide-react";
import { type CSSProperties, useMemo } from "react";
import { ApiError, get } from "../api/client";
import type { MapAnswer, MapCounts, MapEdge, MapNode } from "../api/contract";
import { count, duration, percent, plural } from "../format";
import { Bones, Duration, FilterField, Problem, StatsLine } from "../kit";
import { useShortcuts } from "../shell/shortcuts";
import { RangeEmpty } from "../time/RangeEmpty";
import { useRanged } from "../time/useRange";
import { layoutMap, type Placed } from "./layout";
import "../traces/traces.css";
import "./map.css";

const PARTS = [
  ["ok", "ok"],
  ["errors", "error"],
  ["throttles", "throttle"],
  ["faults", "fault"],
] as const;

function parts(c: MapCounts) {
  return PARTS.map(([key, hue]) => ({ key, hue, n: c[key] })).filter((p) => p.n > 0);
}

/** The share of failed calls from which an edge is drawn as failing. */
const FAILING = 0.05;

/** The filter expression for the traces through a node. */
function nodeFilter(node: MapNode): string | undefined {
  return node.type === "client" ? undefined : `service("${node.name}")`;
}

/** Which services call which. */
export function MapPage() {
  const search = useSearch({ from: "/map" });
  const filter = search.filter ?? "";
  const navigate = useNavigate({ from: "/map" });
  const set = (change: typeof search) => void navigate({ search: (old) => ({ ...old, ...change }), replace: true });
  const query = useRanged(["map", filter], (ends, signal) => get<MapAnswer>("map", { ...ends, filter }, signal));
  const answer = query.data?.answer;
  const list = search.view === "list";
  const node = answer?.nodes.find((n) => String(n.id) === search.node);
  const refusal = query.error instanceof ApiError && query.error.status === 400 ? query.error : undefined;
  useShortcuts({ Escape: () => set({ node: undefined }) });
  return (
    <div className="map-page">
      <div className="page-head">
        <h1>Map</h1>
        {answer && !refusal && (
          <span className="dim">
            {plural(answer.nodes.length, "node")}, {plural(answer.edges.length, "edge")}
          </span>
        )}
        <span className="grow" />
        <StatsLine stats={answer?.stats} />
      </div>
      <div className="list-tools">
        <FilterField
          value={filter}
          onApply={(next) => set({ filter: next || undefined })}
          label="X-Ray filter expression"
          placeholder='Only traces that match: service("backend-flask") { fault }'
          icon={<ListFilter size={13} aria-hidden />}
          error={refusal}
        />
        <fieldset className="pair" aria-label="View">
          <button type="button" className="btn" aria-pressed={!list} onClick={() => set({ view: undefined })}>
            <Network size={13} aria-hidden /> Graph
          </button>
          <button type="button" className="btn" aria-pressed={list} onClick={() => set({ view: "list" })}>
            <Rows3 size={13} aria-hidden /> List
          </button>
        </fieldset>
      </div>
      {query.isPending ? (
        <Bones />
      ) : refusal ? null : query.error && !answer ? (
        <Problem error={query.error} retry={() => void query.refetch()} />
      ) : !answer || answer.nodes.length === 0 ? (
        <RangeEmpty noun="services" filter={filter} onClear={() => set({ filter: undefined })} />
      ) : list ? (
        <MapList answer={answer} />
      ) : (
        <div className="map-body">
          <Graph
            answer={answer}
            selected={node}
            onSelect={(id) => set({ node: id === undefined ? undefined : String(id) })}
          />
          {node && (
            <NodePanel
              node={node}
              answer={answer}
              onClose={() => set({ node: undefined })}
              onSelect={(id) => set({ node: String(id) })}
            />
          )}
        </div>
      )}
    </div>
  );
}

function NodeGlyph({ node }: { node: MapNode }) {
  const look = { size: 18, strokeWidth: 1.6, "aria-hidden": true, x: -9, y: -9 } as const;
  if (node.type === "client") return <User {...look} />;
  if (/Database|DynamoDB|SQL|RDS|remote::db/i.test(node.type) || /postgres|mysql|redis|dynamo/i.test(node.name))
    return <Database {...look} />;
  if (node.type === "" || /Flask|EC2|ECS|Lambda|Beanstalk/i.test(node.type)) return <Network {...look} />;
  return <Cloud {...look} />;
}

/** A ring of the shares of ok, error, throttle and fault, hatched where colour would be alone. */
function Ring({ node, radius }: { node: MapNode; radius: number }) {
  const around = 2 * Math.PI * radius;
  let before = 0;
  const total = Math.max(1, node.ok + node.errors + node.throttles + node.faults);
  return (
    <>
      <circle r={radius} className="ring-back" />
      {parts(node).map(({ key, hue, n }) => {
        const length = (n / total) * around;
        const dash = `${Math.max(length - (length < around ? 1.5 : 0), 1.5)} ${around}`;
        const turn = (before / total) * 360 - 90;
        before += n;
        return (
          <circle
            key={key}
            r={radius}
            className="ring"
            style={{ stroke: `var(--${hue})` }}
            strokeDasharray={dash}
            transform={`rotate(${turn})`}
          />
        );
      })}
    </>
  );
}

function Graph({
  answer,
  selected,
  onSelect,
}: {
  answer: MapAnswer;
  selected: MapNode | undefined;
  onSelect: (id: number | undefined) => void;
}) {
  const { placed, width, height } = useMemo(() => layoutMap(answer.nodes, answer.edges), [answer]);
  const calls = useMemo(
    () => new Set(answer.edges.filter((e) => !e.link).map((e) => `${e.source} ${e.target}`)),
    [answer],
  );
  const failing = answer.edges.some(failed);
  const linked = answer.edges.some((e) => e.link);
  const busiest = Math.max(...answer.nodes.map((n) => n.requests), 1);
  const size = (n: MapNode) => 20 + 10 * Math.sqrt(n.requests / busiest);
  const near = (id: number) =>
    selected === undefined ||
    selected.id === id ||
    answer.edges.some(
      (e) => (e.source === selected.id && e.target === id) || (e.target === selected.id && e.source === id),
    );
  return (
    <div className="map-view">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the drawing scrolls, and the keyboard must reach it */}
      <section className="map-scroll" aria-label="Service graph" tabIndex={0}>
        <svg
          className="graph"
          width={width}
          height={height + 24}
          viewBox={`0 0 ${width} ${height + 24}`}
          style={{ "--w": `${width}px` } as CSSProperties}
          role="group"
          aria-label={`${answer.nodes.length} services and their calls; the list view has the same in a table`}
        >
          <defs>
            <marker
              id="tip"
              viewBox="0 0 8 8"
              refX="7"
              refY="4"
              markerUnits="userSpaceOnUse"
              markerWidth="11"
              markerHeight="11"
              orient="auto-start-reverse"
            >
              <path d="M1 1 7 4 1 7" fill="none" className="tip" />
            </marker>
          </defs>
          {answer.edges.map((e) => {
            const a = placed.get(e.source);
            const b = placed.get(e.target);
            if (!a || !b || a === b) return null;
            return (
              <Edge
                key={edgeKey(e)}
                a={a}
                b={b}
                ra={size(a.node)}
                rb={size(b.node)}
                edge={e}
                beside={e.link === true && calls.has(`${e.source} ${e.target}`)}
                faint={selected !== undefined && e.source !== selected.id && e.target !== selected.id}
              />
            );
          })}
          {[...placed.values()].map(({ node, x, y }) => {
            const radius = size(node);
            const bad = node.faults + node.errors + node.throttles;
            return (
              <g
                key={node.id}
                className={`node${near(node.id) ? "" : " faint"}${selected?.id === node.id ? " chosen" : ""}`}
                transform={`translate(${x} ${y})`}
                role="button"
                tabIndex={0}
                aria-pressed={selected?.id === node.id}
                onClick={() => onSelect(selected?.id === node.id ? undefined : node.id)}
                onKeyDown={(event) => {
                  if (event.key !== "Enter" && event.key !== " ") return;
                  event.preventDefault();
                  onSelect(selected?.id === node.id ? undefined : node.id);
                }}
              >
                <circle r={radius + 6} className="node-hit" />
                <Ring node={node} radius={radius} />
                <NodeGlyph node={node} />
                <text y={radius + 19} className="node-name">
                  {node.name.length > 26 ? `${node.name.slice(0, 25)}…` : node.name}{" "}
                </text>
                <text y={radius + 34} className="node-what">
                  {duration(node.avg_ms)} · {plural(node.requests, "req", "req")}
                  {bad > 0 && <tspan className="node-bad">{` · ${percent(bad / Math.max(1, node.requests))}`}</tspan>}
                </text>
              </g>
            );
          })}
        </svg>
      </section>
      <ul className="map-key" aria-label="Legend">
        {PARTS.map(([key, hue]) => (
          <li key={key}>
            <i style={{ background: `var(--${hue})` }} aria-hidden /> {key === "ok" ? "OK" : key}
          </li>
        ))}
        {failing && <KeyLine kind="bad">failing calls</KeyLine>}
        {linked && <KeyLine kind="link">link</KeyLine>}
      </ul>
    </div>
  );
}

/** A line of the legend. */
function KeyLine({ kind, children }: { kind: string; children: string }) {
  return (
    <li>
      <svg width="24" height="8" className="edge" aria-hidden>
        <path d="M1 4H23" strokeWidth="2" className={kind} />
      </svg>{" "}
      {children}
    </li>
  );
}

function edgeKey(e: MapEdge): string {
  return `${e.source} ${e.target}${e.link ? " link" : ""}`;
}

function failed(e: MapEdge): boolean {
  return e.faults + e.errors + e.throttles > e.requests * FAILING;
}

function Edge({
  a,
  b,
  ra,
  rb,
  edge,
  beside,
  faint,
}: {
  a: Placed;
  b: Placed;
  ra: number;
  rb: number;
  edge: MapEdge;
  /** Whether the same nodes have an edge of calls, beside which this one is drawn. */
  beside: boolean;
  faint: boolean;
}) {
  const back = b.layer <= a.layer;
  const x1 = a.x + (back ? 0 : ra + 5);
  const y1 = a.y + (back ? -ra - 5 : 0);
  const x2 = b.x - (back ? 0 : rb + 6);
  const y2 = b.y - (back ? rb + 6 : 0);
  const bend = back ? 60 : Math.max(30, (x2 - x1) / 2);
  // A call that skips columns bows out, so as not to run through the nodes between.
  const bow = (!back && b.layer - a.layer > 1 && Math.abs(y1 - y2) < 20 ? -70 : 0) + (beside ? 44 : 0);
  const d = back
    ? `M${x1} ${y1} C${x1} ${y1 - bend - bow} ${x2} ${y2 - bend - bow} ${x2} ${y2}`
    : `M${x1} ${y1} C${x1 + bend} ${y1 + bow} ${x2 - bend} ${y2 + bow} ${x2} ${y2}`;
  const bad = edge.faults + edge.errors + edge.throttles;
  const weight = 1 + Math.min(2, Math.log10(Math.max(1, edge.requests)) / 2);
  const what = edge.link ? `${plural(edge.requests, "link")} to what it sent` : plural(edge.requests, "call");
  const kind = [failed(edge) && "bad", edge.link && "link"].filter(Boolean).join(" ");
  return (
    <g className={faint ? "edge faint" : "edge"}>
      <path d={d} fill="none" strokeWidth={weight} className={kind || undefined} markerEnd="url(#tip)">
        <title>{`${a.node.name} → ${b.node.name}: ${what}, ${count(bad)} failed, ${duration(edge.avg_ms)} on average`}</title>
      </path>
      <text
        x={(x1 + x2) / 2}
        y={(y1 + y2) / 2 - 6 + (back ? -bow : bow) * 0.75 - (back ? bend * 0.75 : 0)}
        className="edge-label"
      >
        {duration(edge.avg_ms)}
      </text>
    </g>
  );
}

function NodePanel({
  node,
  answer,
  onClose,
  onSelect,
}: {
  node: MapNode;
  answer: MapAnswer;
  onClose: () => void;
  onSelect: (id: number) => void;
}) {
  const filter = nodeFilter(node);
  const name = (id: number) => answer.nodes.find((n) => n.id === id)?.name ?? String(id);
  const calls = answer.edges.filter((e) => !e.link);
  const links = answer.edges.filter((e) => e.link);
  const sides = [
    { title: "Called by", edges: calls.filter((e) => e.target === node.id), end: "source" as const },
    { title: "Calls", edges: calls.filter((e) => e.source === node.id), end: "target" as const },
    { title: "Links to", edges: links.filter((e) => e.target === node.id), end: "source" as const },
    { title: "Linked from", edges: links.filter((e) => e.source === node.id), end: "target" as const },
  ];
  return (
    <aside className="map-panel" aria-label="Details of the service">
      <div className="row">
        <h2 className="cut" title={node.name}>
          {node.name}
        </h2>
        <span className="grow" />
        <button type="button" className="btn quiet icon small" aria-label="Close the panel" onClick={onClose}>
          <X size={14} aria-hidden />
        </button>
      </div>
      <p className="dim">{node.type || "service"}</p>
      <dl className="map-facts">
        <div>
          <dt>Requests</dt>
          <dd>{count(node.requests)}</dd>
        </div>
        <div>
          <dt>Average</dt>
          <dd>
            <Duration ms={node.avg_ms} />
          </dd>
        </div>
        {node.p95_ms !== undefined && (
          <div>
            <dt>p95</dt>
            <dd>
              <Duration ms={node.p95_ms} />
            </dd>
          </div>
        )}
      </dl>
      <Shares counts={node} />
      {filter && (
        <div className="map-links">
          <Link to="/traces" search={{ filter }} className="btn small">
            <ListTree size={13} aria-hidden /> Traces
          </Link>
          {node.faults > 0 && (
            <Link to="/traces" search={{ filter: `${filter} { fault }` }} className="btn small">
              Faults
            </Link>
          )}
          {node.errors > 0 && (
            <Link to="/traces" search={{ filter: `${filter} { error }` }} className="btn small">
              Errors
            </Link>
          )}
        </div>
      )}
      {sides.map(
        ({ title, edges, end }) =>
          edges.length > 0 && (
            <section key={title} aria-label={title}>
              <h3>{title}</h3>
              <ul>
                {edges.map((e) => (
                  <li key={e[end]}>
                    <button type="button" className="map-neighbour" onClick={() => onSelect(e[end])}>
                      <span className="cut">{name(e[end])}</span>
                      <span className="dim">
                        {count(e.requests)} · {duration(e.avg_ms)}
                      </span>
                    </button>
                  </li>
                ))}
              </ul>
            </section>
          ),
      )}
    </aside>
  );
}

function Shares({ counts }: { counts: MapCounts }) {
  const total = Math.max(1, counts.ok + counts.errors + counts.throttles + counts.faults);
  return (
    <div className="shares">
      <div className="shares-bar" aria-hidden>
        {parts(counts).map((p) => (
          <i key={p.key} style={{ flexGrow: p.n, background: `var(--${p.hue})` }} />
        ))}
      </div>
      <ul>
        {PARTS.map(([key, hue]) => (
          <li key={key} className={counts[key] === 0 ? "dim" : undefined}>
            <i style={{ background: `var(--${hue})` }} aria-hidden />
            {key === "ok" ? "OK" : `${key[0]?.toUpperCase()}${key.slice(1)}`}
            <span className="grow" />
            {count(counts[key])} <span className="dim share">{percent(counts[key] / total)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function MapList({ answer }: { answer: MapAnswer }) {
  const name = (id: number) => answer.nodes.find((n) => n.id === id)?.name ?? String(id);
  return (
    <div className="map-list">
      <table className="table" aria-label="Services">
        <thead>
          <tr>
            <th>Service</th>
            <th className="num">Requests</th>
            <th className="num">OK</th>
            <th className="num">Errors</th>
            <th className="num">Throttles</th>
            <th className="num">Faults</th>
            <th className="num">Average</th>
            <th>Calls</th>
          </tr>
        </thead>
        <tbody>
          {answer.nodes.map((n) => (
            <tr key={n.id}>
              <td>
                {nodeFilter(n) ? (
                  <Link to="/traces" search={{ filter: nodeFilter(n) }} className="plain">
                    {n.name}
                  </Link>
                ) : (
                  n.name
                )}{" "}
                {n.type && <span className="dim">{n.type}</span>}
              </td>
              <td className="num">{count(n.requests)}</td>
              <td className="num">{count(n.ok)}</td>
              <td className="num">{count(n.errors)}</td>
              <td className="num">{count(n.throttles)}</td>
              <td className="num">{count(n.faults)}</td>
              <td className="num">{duration(n.avg_ms)}</td>
              <td className="soft">
                {answer.edges
                  .filter((e) => e.source === n.id)
                  .map((e) => `${name(e.target)} (${e.link ? plural(e.requests, "link") : count(e.requests)})`)
                  .join(", ") || <span className="dim">–</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
