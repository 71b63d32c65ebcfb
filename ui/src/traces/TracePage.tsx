import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Check, Download, Link2, RotateCw, SearchX, TriangleAlert } from "lucide-react";
import { useMemo, useState } from "react";
import { ApiError, get } from "../api/client";
import type { RowStatus, TraceAnswer } from "../api/contract";
import { plural, shortStamp } from "../format";
import {
  Bones,
  CopyButton,
  copyText,
  Duration,
  Empty,
  Moment,
  Problem,
  SourceBadges,
  StatsLine,
  StatusBadge,
} from "../kit";
import { usePreferences } from "../shell/preferences";
import { useShortcuts } from "../shell/shortcuts";
import { type PanelTab, RowPanel } from "./RowPanel";
import { buildTree } from "./tree";
import { Waterfall } from "./Waterfall";
import "./trace.css";

/** The value of the span param that says that the panel was closed. */
const CLOSED = "none";

function save(answer: TraceAnswer) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(answer, null, 2)], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `trace-${answer.trace_id}.json`;
  link.click();
  URL.revokeObjectURL(url);
}

/** The worst status among the roots; the trace is what its entry point answered. */
function rootStatus(answer: TraceAnswer): RowStatus {
  const order: RowStatus[] = ["fault", "throttle", "error"];
  const ids = new Set(answer.rows.map((r) => r.id));
  const roots = answer.rows.filter((r) => r.parent_id === undefined || !ids.has(r.parent_id));
  return order.find((s) => roots.some((r) => r.status === s)) ?? "ok";
}

function httpStatus(answer: TraceAnswer): string | undefined {
  const names = ["http.response.status_code", "http.status_code", "http.status"];
  const field = answer.rows[0]?.fields.find((f) => names.includes(f.name));
  return field && String(field.value);
}

/** One trace: its header, the waterfall, and the panel of a row. */
export function TracePage() {
  const { id } = useParams({ from: "/traces/$id" });
  const search = useSearch({ from: "/traces/$id" });
  const navigate = useNavigate({ from: "/traces/$id" });
  const { utc } = usePreferences();
  const [linked, setLinked] = useState(false);
  const query = useQuery({
    queryKey: ["trace", id],
    queryFn: ({ signal }) => get<TraceAnswer>(`traces/${encodeURIComponent(id)}`, {}, signal),
    staleTime: 30_000,
    refetchInterval: ({ state }) => (state.data?.partial ? 3000 : false),
  });
  const answer = query.data;
  const tree = useMemo(() => answer && buildTree(answer), [answer]);

  const set = (change: Partial<typeof search>) =>
    void navigate({ search: (old) => ({ ...old, ...change }), replace: true });
  const copyLink = async () => {
    if (!(await copyText(location.href))) return;
    setLinked(true);
    setTimeout(() => setLinked(false), 1400);
  };
  useShortcuts({ y: () => void copyLink() });

  if (query.isPending) {
    return (
      <>
        <div className="page-head">
          <h1>Trace</h1>
        </div>
        <Bones rows={12} />
      </>
    );
  }
  if (query.isError || !answer || !tree) {
    const missing = query.error instanceof ApiError && query.error.status === 404;
    return (
      <>
        <div className="page-head">
          <h1>Trace</h1>
        </div>
        {missing ? (
          <Empty
            icon={<SearchX size={18} aria-hidden />}
            title="No trace with this id"
            actions={
              <>
                <Link to="/traces" className="btn">
                  All traces
                </Link>
                <button type="button" className="btn" onClick={() => void query.refetch()}>
                  <RotateCw size={13} aria-hidden /> Look again
                </button>
              </>
            }
          >
            Nothing of <code>{id}</code> is stored. It may not have arrived yet, was not sampled, or is past the
            retention.
          </Empty>
        ) : (
          <Problem error={query.error ?? new Error("The answer was empty.")} retry={() => void query.refetch()} />
        )}
      </>
    );
  }

  const status = rootStatus(answer);
  const code = httpStatus(answer);
  const implied = search.span === undefined;
  const wanted = search.span === CLOSED ? undefined : (search.span ?? tree.nodes[0]?.row.id);
  const selected =
    wanted === undefined ? undefined : (tree.byId.get(wanted) ?? tree.nodes.find((n) => n.row.id.endsWith(wanted)));
  const spans = answer.rows.filter((r) => r.kind === "span" || r.kind === "segment" || r.kind === "subsegment").length;
  const logs = answer.rows.filter((r) => r.kind === "log").length;
  return (
    <div className="trace-page">
      <header className="trace-head">
        <div className="trace-title">
          <h1 title={answer.root_name}>{answer.root_name}</h1>
          {(status !== "ok" || code) && (
            <StatusBadge status={status}>
              {code ?? undefined}
              {code ? (status === "ok" ? "" : ` ${status}`) : undefined}
            </StatusBadge>
          )}
          <SourceBadges sources={answer.sources} />
          <span className="grow" />
          <div className="trace-tools">
            <button
              type="button"
              className="btn small"
              onClick={() => void copyLink()}
              title="Copy a link to this view (y)"
            >
              {linked ? <Check size={13} aria-hidden /> : <Link2 size={13} aria-hidden />}
              <span aria-live="polite">{linked ? "Copied" : "Copy link"}</span>
            </button>
            <button
              type="button"
              className="btn small icon"
              onClick={() => save(answer)}
              aria-label="Save as JSON"
              title="Save as JSON"
            >
              <Download size={13} aria-hidden />
            </button>
            <button
              type="button"
              className="btn small icon"
              onClick={() => void query.refetch()}
              aria-label="Reload the trace"
              title="Reload the trace"
            >
              <RotateCw size={13} aria-hidden />
            </button>
          </div>
        </div>
        <div className="trace-sub">
          <dl className="trace-facts">
            <div>
              <dt>Service</dt>
              <dd>{answer.root_service}</dd>
            </div>
            <div>
              <dt>Duration</dt>
              <dd>
                <Duration ms={answer.duration_ms} />
              </dd>
            </div>
            <div>
              <dt>Started</dt>
              <dd>
                <Moment at={answer.start}>{shortStamp(new Date(answer.start), utc)}</Moment>
              </dd>
            </div>
            <div>
              <dt>Holds</dt>
              <dd>
                {plural(spans, "span")}
                {logs > 0 && `, ${plural(logs, "log line")}`}, {plural(answer.services.length, "service")}
              </dd>
            </div>
            <div className="trace-ids">
              <dt>Trace id</dt>
              <dd>
                <CopyButton text={answer.trace_id} label="Copy the W3C trace id" className="id-copy mono">
                  <span className="cut">{answer.trace_id}</span>
                </CopyButton>
                <CopyButton text={answer.xray_id} label="Copy the X-Ray trace id" className="id-copy mono">
                  <span className="cut">{answer.xray_id}</span>
                </CopyButton>
              </dd>
            </div>
          </dl>
          <StatsLine stats={answer.stats} />
        </div>
        {(answer.partial || answer.missing_parents > 0 || answer.truncated > 0) && (
          <div className="trace-notices">
            {answer.partial && (
              <p className="notice">
                <RotateCw size={12} aria-hidden /> Still running: some segments are in progress. This page follows.
              </p>
            )}
            {answer.missing_parents > 0 && (
              <p className="notice warn">
                <TriangleAlert size={12} aria-hidden />
                {plural(answer.missing_parents, "parent span is", "parent spans are")} missing; their children are
                listed as roots.
              </p>
            )}
            {answer.truncated > 0 && (
              <p className="notice warn">
                <TriangleAlert size={12} aria-hidden />
                {plural(answer.truncated, "row was", "rows were")} left out: the trace is larger than one page can show.
              </p>
            )}
          </div>
        )}
      </header>
      <div className={selected ? "trace-body with-panel" : "trace-body"}>
        <Waterfall tree={tree} search={search} set={set} selected={selected} onClose={() => set({ span: CLOSED })} />
        {selected && (
          <RowPanel
            node={selected}
            tree={tree}
            answer={answer}
            implied={implied}
            tab={(["fields", "raw", "logs"] as PanelTab[]).find((t) => t === search.tab) ?? "fields"}
            onTab={(tab) => set({ tab: tab === "fields" ? undefined : tab })}
            onSelect={(span) => set({ span })}
            onZoom={(from, to) => set({ zoom: `${from.toFixed(3)}-${to.toFixed(3)}` })}
            onClose={() => set({ span: CLOSED })}
          />
        )}
      </div>
    </div>
  );
}
