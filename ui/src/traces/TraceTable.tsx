import { Link } from "@tanstack/react-router";
import type { TraceSummary } from "../api/contract";
import { clock, count, shortStamp } from "../format";
import { Duration, Moment, SourceBadges, StatusBadge, StatusIcon, worst } from "../kit";
import { usePreferences } from "../shell/preferences";
import "./traces.css";

/** Traces as a table; each row is a link. */
export function TraceTable({ traces, label, compact }: { traces: TraceSummary[]; label: string; compact?: boolean }) {
  const { utc } = usePreferences();
  const longest = Math.max(...traces.map((t) => t.duration_ms), 1);
  return (
    <table className={compact ? "table traces compact" : "table traces"} aria-label={label}>
      <thead>
        <tr>
          <th className="when">Started</th>
          <th className="what">Trace</th>
          <th className="code">Status</th>
          <th className="took">Duration</th>
          {!compact && <th className="num size">Spans</th>}
          {!compact && <th className="num size">Logs</th>}
          <th className="from">Sources</th>
        </tr>
      </thead>
      <tbody>
        {traces.map((t) => {
          const status = worst(t);
          return (
            <tr key={t.trace_id} className="linked">
              <td className="when mono dim">
                <Moment at={t.start}>
                  {compact ? clock(new Date(t.start), utc) : shortStamp(new Date(t.start), utc)}
                </Moment>
              </td>
              <td className="what">
                <Link
                  to="/traces/$id"
                  params={{ id: t.trace_id }}
                  className="whole trace-link"
                  data-trace={t.trace_id}
                  title={t.url}
                >
                  <StatusIcon status={status} />
                  <span className="trace-service">{t.root_service}</span>
                  <span className="cut">
                    {t.method && !t.root_name.startsWith(t.method) ? `${t.method} ` : ""}
                    {t.root_name}
                  </span>
                  {!compact && t.services.length > 1 && (
                    <span className="badge" title={t.services.join(", ")}>
                      {count(t.services.length)} services
                    </span>
                  )}
                  {t.partial && <span className="badge">running</span>}
                </Link>
              </td>
              <td className="code">
                {status !== "ok" || t.status ? (
                  <StatusBadge status={status}>{t.status}</StatusBadge>
                ) : (
                  <span className="dim">–</span>
                )}
              </td>
              <td className="took">
                <span className="took-bar" aria-hidden>
                  <i className={status} style={{ width: `${Math.max(1.5, (t.duration_ms / longest) * 100)}%` }} />
                </span>
                <Duration ms={t.duration_ms} />
              </td>
              {!compact && <td className="num size">{count(t.spans)}</td>}
              {!compact && <td className={t.logs === 0 ? "num size dim" : "num size"}>{count(t.logs)}</td>}
              <td className="from">
                <SourceBadges sources={t.sources} />
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
