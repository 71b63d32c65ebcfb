import { Link } from "@tanstack/react-router";
import { ChartLine, FileJson, ListFilter, Logs, Scan, Search, X } from "lucide-react";
import { useState } from "react";
import type { Field, TraceAnswer } from "../api/contract";
import { plural, shortStamp } from "../format";
import { CopyButton, Duration, Empty, Moment, SourceBadge, StatusBadge, StatusIcon, Tabs, TypeMark } from "../kit";
import { JsonView } from "../kit/JsonView";
import { usePreferences } from "../shell/preferences";
import { documentOf, exceptionsOf, traceFilter } from "./fields";
import { isMark, type Node, severityStatus, type Tree } from "./tree";

export type PanelTab = "fields" | "raw" | "logs";

const KIND: Record<Node["row"]["kind"], string> = {
  span: "Span",
  segment: "Segment",
  subsegment: "Subsegment",
  span_event: "Span event",
  link: "Span link",
  log: "Log line",
};

/** All that is known of one row of the waterfall. */
export function RowPanel({
  node,
  tree,
  answer,
  implied,
  tab,
  onTab,
  onSelect,
  onZoom,
  onClose,
}: {
  node: Node;
  tree: Tree;
  answer: TraceAnswer;
  /** The row was not chosen by anyone: narrow screens keep the panel shut. */
  implied: boolean;
  tab: PanelTab;
  onTab: (tab: PanelTab) => void;
  onSelect: (id: string) => void;
  onZoom: (from: number, to: number) => void;
  onClose: () => void;
}) {
  const { row } = node;
  const { utc } = usePreferences();
  const logs = tree.nodes.slice(node.index, node.index + node.size + 1).filter((n) => n.row.kind === "log");
  const document = documentOf(row, answer.documents) ?? (node.parent && documentOf(node.parent.row, answer.documents));
  const exceptions = exceptionsOf(node, answer.documents);
  const status = row.kind === "log" ? severityStatus(row.severity) : row.status;
  return (
    <aside className={implied ? "panel implied" : "panel"} aria-label="Details of the row">
      <header className="panel-head">
        <div className="row">
          <h2 className={row.kind === "log" ? "cut mono" : "cut"} title={row.message ?? row.name}>
            {row.kind === "log" ? row.message : row.name}
          </h2>
          <span className="grow" />
          {!isMark(row) && (
            <button
              type="button"
              className="btn quiet icon small"
              aria-label="Zoom to this span"
              title="Zoom to this span"
              onClick={() => onZoom(node.from, Math.max(node.to, node.from + tree.length / 1e4))}
            >
              <Scan size={14} aria-hidden />
            </button>
          )}
          <button
            type="button"
            className="btn quiet icon small"
            aria-label="Close the panel"
            title="Close (Esc)"
            onClick={onClose}
          >
            <X size={14} aria-hidden />
          </button>
        </div>
        <div className="panel-facts">
          <SourceBadge source={row.source} />
          <span>{KIND[row.kind]}</span>
          {row.span_kind && <span>{row.span_kind.toLowerCase()}</span>}
          <span className="cut">{row.service}</span>
          {!isMark(row) && (
            <b>
              <Duration ms={row.duration_ms} />
            </b>
          )}
          <span className="dim">
            at <Duration ms={node.from} />
          </span>
          {status !== "ok" && (
            <StatusBadge status={status}>{row.kind === "log" ? row.severity : undefined}</StatusBadge>
          )}
          {row.in_progress && <span className="badge">in progress</span>}
          {row.inferred && <span className="badge">inferred from its caller</span>}
        </div>
      </header>
      <Tabs
        label="Details"
        panel="row-panel"
        value={tab}
        onChange={onTab}
        tabs={[
          { id: "fields", name: "Fields", n: row.fields.length },
          { id: "raw", name: "Raw document" },
          { id: "logs", name: "Logs", n: logs.length },
        ]}
      />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the panel scrolls, and the keyboard must reach it */}
      <div className="panel-body" id="row-panel" role="tabpanel" tabIndex={0} aria-labelledby={`row-panel-${tab}`}>
        {tab === "fields" && (
          <>
            {row.message && (
              <section className="panel-message" aria-label="Message">
                <pre>{row.message}</pre>
                <div className="row">
                  <CopyButton text={row.message} label="Copy the message" />
                  {row.group && (
                    <Link
                      className="btn quiet small"
                      to="/logs/groups/$group"
                      params={{ group: row.group }}
                      search={{ stream: row.stream, t: aroundRow(row.start) }}
                    >
                      <Logs size={13} aria-hidden /> {row.group}
                      {row.stream && <span className="dim cut">{row.stream}</span>}
                    </Link>
                  )}
                </div>
              </section>
            )}
            {exceptions.map((e) => (
              <section className="exception" key={`${e.type} ${e.message}`} aria-label="Exception">
                <p>
                  <StatusIcon status="fault" />
                  <b>{e.type || "Exception"}</b>
                </p>
                {e.message && <p className="exception-text">{e.message}</p>}
                {e.stack && (
                  // biome-ignore lint/a11y/noNoninteractiveTabindex: long stacks scroll, and the keyboard must reach them
                  <pre tabIndex={0} role="group" aria-label="Stack">
                    {e.stack}
                  </pre>
                )}
              </section>
            ))}
            <Fields fields={row.fields} />
            <dl className="panel-ids">
              <div>
                <dt>Started</dt>
                <dd>
                  <Moment at={row.start}>{shortStamp(new Date(row.start), utc)}</Moment>
                </dd>
              </div>
              {!isMark(row) && (
                <div>
                  <dt>{row.source === "xray" ? "Segment id" : "Span id"}</dt>
                  <dd className="mono">
                    {row.id} <CopyButton text={row.id} label="Copy the id" />
                  </dd>
                </div>
              )}
              {row.parent_id && (
                <div>
                  <dt>Parent</dt>
                  <dd className="mono">
                    {node.parent ? (
                      <button
                        type="button"
                        className="link-button"
                        onClick={() => node.parent && onSelect(node.parent.row.id)}
                      >
                        {node.parent.row.name}
                      </button>
                    ) : (
                      <span title="The parent has not arrived">{row.parent_id} (missing)</span>
                    )}
                  </dd>
                </div>
              )}
            </dl>
          </>
        )}
        {tab === "raw" &&
          (document ? (
            <>
              <p className="panel-note">
                X-Ray segment document <b>{document.name}</b>
                {document.id !== row.id && " that holds this row"}
              </p>
              <JsonView
                value={document.document}
                label="the document"
                mark={document.id === row.id ? undefined : row.id}
              />
            </>
          ) : (
            <Empty icon={<FileJson size={18} aria-hidden />} title="No document">
              This row did not come as a segment document, and none was made of it.
            </Empty>
          ))}
        {tab === "logs" &&
          (logs.length > 0 ? (
            <ul className="panel-logs" aria-label="Log lines under this row">
              {logs.map((n) => (
                <li key={n.row.id}>
                  <button type="button" onClick={() => onSelect(n.row.id)}>
                    <span className="row">
                      <StatusIcon status={severityStatus(n.row.severity)} size={12} />
                      <Moment at={n.row.start}>{shortStamp(new Date(n.row.start), utc)}</Moment>
                      {n.row.severity && <span className="badge">{n.row.severity}</span>}
                      <span className="dim cut">{n.row.group ?? n.row.service}</span>
                    </span>
                    <code>{n.row.message}</code>
                  </button>
                </li>
              ))}
            </ul>
          ) : (
            <Empty icon={<Logs size={18} aria-hidden />} title="No log lines here">
              Lines that carry this trace's id and a span id below this row are listed.
              {answer.rows.some((r) => r.kind === "log") && " Other rows of this trace have some."}
            </Empty>
          ))}
      </div>
    </aside>
  );
}

/** The five minutes about a moment, as the URL carries them. */
function aroundRow(start: string): string {
  const at = new Date(start).getTime();
  return `${new Date(at - 150_000).toISOString()}..${new Date(at + 150_000).toISOString()}`;
}

function Fields({ fields }: { fields: Field[] }) {
  const [text, setText] = useState("");
  const lower = text.trim().toLowerCase();
  const shown = fields
    .filter(
      (f) => lower === "" || f.name.toLowerCase().includes(lower) || String(f.value).toLowerCase().includes(lower),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  if (fields.length === 0) return <p className="panel-note">This row carries no fields.</p>;
  return (
    <section aria-label="Fields">
      {fields.length > 5 && (
        <div className="panel-search">
          <div className="field">
            <Search size={13} aria-hidden />
            <input
              type="search"
              aria-label="Search the fields"
              placeholder={`Search ${plural(fields.length, "field")}`}
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
          </div>
        </div>
      )}
      <ul className="fields">
        {shown.map((field) => {
          const filter = traceFilter(field);
          const query = JSON.stringify({ filters: [{ column: field.name, op: "=", value: field.value }] });
          return (
            <li key={field.name}>
              <div className="field-name">
                <TypeMark type={field.type} />
                <span>{field.name}</span>
                <span className="field-acts">
                  {filter && (
                    <Link
                      className="btn quiet icon small"
                      to="/traces"
                      search={{ filter }}
                      aria-label={`Filter traces to ${field.name}`}
                      title={`Traces with ${filter}`}
                    >
                      <ListFilter size={13} aria-hidden />
                    </Link>
                  )}
                  <Link
                    className="btn quiet icon small"
                    to="/q/$dataset"
                    params={{ dataset: "__all__" }}
                    search={{ q: query }}
                    aria-label={`Query by ${field.name}`}
                    title={`Query where ${field.name} = ${field.value}`}
                  >
                    <ChartLine size={13} aria-hidden />
                  </Link>
                  <CopyButton text={String(field.value)} label={`Copy ${field.name}`} />
                </span>
              </div>
              <div className={`field-value mono ${field.type}`}>
                {String(field.value) === "" ? <span className="dim">empty</span> : String(field.value)}
              </div>
            </li>
          );
        })}
      </ul>
      {shown.length === 0 && <p className="panel-note">No field matches “{text}”.</p>}
    </section>
  );
}
