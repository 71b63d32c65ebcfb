import { Link } from "@tanstack/react-router";
import { ArrowRight, CircleCheck } from "lucide-react";
import { useState } from "react";
import { get } from "../api/client";
import type { ServiceRow, ServicesAnswer, Status, TracesAnswer } from "../api/contract";
import { useStatus } from "../api/status";
import { ago, bytes, count, duration, percent, plural } from "../format";
import { Bones, Moment, Problem, SourceBadge, SourceBadges } from "../kit";
import { useNow } from "../kit/useNow";
import { Mark } from "../shell/Mark";
import { RangeEmpty } from "../time/RangeEmpty";
import { useRange, useRanged } from "../time/useRange";
import { TraceTable } from "../traces/TraceTable";
import { refusals } from "./refusals";
import { Setup } from "./Setup";
import "./home.css";

/** Home: the set-up until something has arrived, then how the services do. */
export function HomePage() {
  const status = useStatus();
  // Whoever watches the first event arrive keeps the set-up until they leave it.
  const [startedEmpty, setStartedEmpty] = useState<boolean>();
  if (status.data && startedEmpty === undefined) setStartedEmpty(status.data.events === 0);
  if (status.isPending) {
    return (
      <>
        <div className="page-head">
          <h1>Home</h1>
        </div>
        <Bones />
      </>
    );
  }
  if (!status.data) {
    return (
      <>
        <div className="page-head">
          <h1>Home</h1>
        </div>
        <Problem error={status.error} title="The server does not answer" retry={() => void status.refetch()} />
      </>
    );
  }
  if (startedEmpty) {
    return (
      <div className="welcome">
        <header>
          <Mark size={36} />
          <h1>Send your first event</h1>
          <p className="soft">
            Traces and logs of your services, from the clients you have: OpenTelemetry, Honeycomb, AWS X-Ray and
            CloudWatch Logs. Point one of them here; the addresses below are live.
          </p>
        </header>
        <Setup status={status.data} />
        {status.data.events > 0 && (
          <button type="button" className="btn" onClick={() => setStartedEmpty(false)}>
            Go to the overview <ArrowRight size={13} aria-hidden />
          </button>
        )}
      </div>
    );
  }
  return <Overview />;
}

function Overview() {
  const { data: status } = useStatus();
  const { text } = useRange();
  const services = useRanged(["services"], (ends, signal) => get<ServicesAnswer>("services", { ...ends }, signal));
  const newest = useRanged(["traces-newest"], (ends, signal) =>
    get<TracesAnswer>("traces", { ...ends, limit: 8 }, signal),
  );
  const failed = useRanged(["traces-failed"], (ends, signal) =>
    get<TracesAnswer>("traces", { ...ends, limit: 8, filter: "fault OR error" }, signal),
  );
  const none =
    services.data &&
    newest.data &&
    services.data.answer.services.length === 0 &&
    newest.data.answer.traces.length === 0;
  return (
    <>
      <div className="page-head">
        <h1>Home</h1>
        <span className="grow" />
        {status && (
          <span className="stats">
            {plural(status.events, "event")} · {bytes(status.disk_bytes)} on disk
          </span>
        )}
      </div>
      {status && <Intake status={status} />}
      {none ? (
        <RangeEmpty noun="traces" newest={status?.newest_event_at} />
      ) : (
        <>
          <section className="home-section" aria-labelledby="home-services">
            <div className="section-head">
              <h2 id="home-services">Services</h2>
              <Link to="/map" className="plain soft">
                Map
              </Link>
            </div>
            {services.isPending ? (
              <Bones rows={4} />
            ) : services.isError ? (
              <Problem error={services.error} retry={() => void services.refetch()} />
            ) : (
              <Services answer={services.data.answer} />
            )}
          </section>
          <div className="home-pair">
            <section className="home-section" aria-labelledby="home-errors">
              <div className="section-head">
                <h2 id="home-errors">Errors</h2>
                <Link to="/traces" search={{ filter: "fault OR error", t: text }} className="plain soft">
                  All
                </Link>
              </div>
              {failed.isPending ? (
                <Bones rows={4} />
              ) : failed.isError ? (
                <Problem error={failed.error} retry={() => void failed.refetch()} />
              ) : failed.data.answer.traces.length === 0 ? (
                <p className="home-none">
                  <CircleCheck size={14} aria-hidden /> No trace failed in this time range.
                </p>
              ) : (
                <TraceTable compact traces={failed.data.answer.traces} label="Failed traces" />
              )}
            </section>
            <section className="home-section" aria-labelledby="home-newest">
              <div className="section-head">
                <h2 id="home-newest">Newest traces</h2>
                <Link to="/traces" className="plain soft">
                  All
                </Link>
              </div>
              {newest.isPending ? (
                <Bones rows={4} />
              ) : newest.isError ? (
                <Problem error={newest.error} retry={() => void newest.refetch()} />
              ) : newest.data.answer.traces.length === 0 ? (
                <p className="home-none">No traces in this time range.</p>
              ) : (
                <TraceTable compact traces={newest.data.answer.traces} label="Newest traces" />
              )}
            </section>
          </div>
        </>
      )}
      {status && (
        <details className="home-setup">
          <summary>Set up another client</summary>
          <Setup status={status} />
        </details>
      )}
    </>
  );
}

/** What each protocol brought. */
function Intake({ status }: { status: Status }) {
  const now = useNow(5000);
  return (
    <ul className="intake" aria-label="Received by protocol">
      {status.sources.map((s) => (
        <li key={s.source}>
          <SourceBadge source={s.source} />
          <b>{count(s.events)}</b>
          <span className="dim">
            {s.last_event_at ? <Moment at={s.last_event_at}>{ago(s.last_event_at, now)}</Moment> : "nothing yet"}
          </span>
          {s.rejected > 0 && (
            <span className="badge error" title={refusals(s, status.xray_daemon)}>
              {count(s.rejected)} refused
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}

function Services({ answer }: { answer: ServicesAnswer }) {
  const { text } = useRange();
  const seconds = (answer.bucket_ms * Math.max(1, answer.buckets.length)) / 1000;
  if (answer.services.length === 0) return <p className="home-none">No service took a request in this time range.</p>;
  return (
    <table className="table services" aria-label="Services">
      <thead>
        <tr>
          <th>Service</th>
          <th className="spark-col">Requests</th>
          <th className="num">Rate</th>
          <th className="spark-col wide">Errors</th>
          <th className="num">Failed</th>
          <th className="num wide">p50</th>
          <th className="num p95">p95</th>
          <th className="wide">Sources</th>
        </tr>
      </thead>
      <tbody>
        {answer.services.map((s) => (
          <tr key={s.name} className="linked">
            <td>
              <Link to="/traces" search={{ filter: `service("${s.name}")`, t: text }} className="whole service-name">
                {s.name}
              </Link>
            </td>
            <td className="spark-col">
              <Spark values={s.requests_series} label={`${plural(s.requests, "request")} over time`} />
            </td>
            <td className="num" title={plural(s.requests, "request")}>
              {rate(s.requests / seconds)}
            </td>
            <td className="spark-col wide">
              <Spark values={s.errors_series} label={`${plural(s.errors, "error")} over time`} bad />
            </td>
            <td className="num">{failed(s)}</td>
            <td className="num wide">{duration(s.p50_ms)}</td>
            <td className="num p95">{duration(s.p95_ms)}</td>
            <td className="wide">
              <SourceBadges sources={s.sources} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function rate(perSecond: number): string {
  if (perSecond >= 1) return `${count(Number(perSecond.toFixed(1)))}/s`;
  return `${count(Number((perSecond * 60).toFixed(1)))}/min`;
}

function failed(s: ServiceRow) {
  const share = s.requests > 0 ? s.errors / s.requests : 0;
  return (
    <span
      title={`${plural(s.errors, "failed request")} of ${count(s.requests)}`}
      className={share > 0 ? "failing" : "dim"}
    >
      {percent(share)}
    </span>
  );
}

/** A small chart of counts: one bar a bucket. */
function Spark({ values, label, bad }: { values: number[]; label: string; bad?: boolean }) {
  const most = Math.max(...values, 1);
  const width = 120;
  const step = width / Math.max(1, values.length);
  return (
    <svg
      className={bad ? "spark bad" : "spark"}
      viewBox={`0 0 ${width} 22`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <line x1={0} x2={width} y1={21.5} y2={21.5} />
      {values.map((v, i) => {
        const height = v > 0 ? Math.max(2, (v / most) * 20) : 0;
        return <rect key={i} x={i * step} y={21 - height} width={Math.max(1, step - 1)} height={height} />;
      })}
    </svg>
  );
}
