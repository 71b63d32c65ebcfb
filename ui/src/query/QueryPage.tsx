import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { CircleX, Play, Telescope } from "lucide-react";
import { useEffect, useMemo, useState } from "react";
import { get, post } from "../api/client";
import type { Column, Dataset, HeatmapColumn, QueryAnswer, ResultValue } from "../api/contract";
import { count, duration } from "../format";
import { Bones, Empty, StatsLine } from "../kit";
import { useRange, useRanged } from "../time/useRange";
import { Builder } from "./Builder";
import { HeatmapChart, type Line, LineChart, valueText } from "./charts";
import { groupKey, parseSpec, specParam } from "./spec";
import "./query.css";

/** The dataset that means all of them. */
const ALL = "__all__";
/** Lines in one chart; the table has every group. */
const MOST_LINES = 10;

function isHeatmap(value: ResultValue | undefined): value is HeatmapColumn {
  return typeof value === "object" && value !== null && "buckets" in value;
}

/** A query by clauses, its chart, and its table. */
export function QueryPage() {
  const { dataset } = useParams({ from: "/q/$dataset" });
  const { q } = useSearch({ from: "/q/$dataset" });
  const navigate = useNavigate({ from: "/q/$dataset" });
  const client = useQueryClient();
  const { range } = useRange();
  const spec = useMemo(() => parseSpec(q), [q]);
  const [draft, setDraft] = useState(spec);
  const [seen, setSeen] = useState(spec);
  if (seen !== spec) {
    setSeen(spec);
    setDraft(spec);
  }
  const datasets = useQuery({
    queryKey: ["datasets"],
    queryFn: ({ signal }) => get<{ datasets: Dataset[] }>("datasets", {}, signal),
    staleTime: 60_000,
  });
  const answer = useRanged(["query", dataset, specParam(spec) ?? ""], (ends, signal) => {
    // The server keeps whole seconds.
    const time =
      range.kind === "relative"
        ? { time_range: Math.max(1, Math.round(range.ms / 1000)) }
        : { start_time: Math.floor(ends.from / 1000), end_time: Math.ceil(ends.to / 1000) };
    return post<QueryAnswer>("query", { dataset, ...spec, havings: [], granularity: 0, ...time }, signal);
  });

  const columns = useMemo(() => {
    const all = datasets.data?.datasets ?? [];
    const byName = new Map<string, Column>();
    for (const d of all)
      if (dataset === ALL || d.slug === dataset)
        for (const c of d.columns) if (!byName.has(c.name)) byName.set(c.name, c);
    return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }, [datasets.data, dataset]);

  const clean = useMemo(
    () => ({
      ...draft,
      breakdowns: draft.breakdowns.filter(Boolean),
      filters: draft.filters.filter((f) => f.column !== ""),
    }),
    [draft],
  );
  const edited = specParam(clean) !== specParam(spec);
  const run = () => {
    if (edited) void navigate({ search: (old) => ({ ...old, q: specParam(clean) }) });
    else void client.invalidateQueries({ queryKey: ["query"] });
  };
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Enter" || !(event.metaKey || event.ctrlKey)) return;
      event.preventDefault();
      run();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  });

  const known = datasets.data?.datasets ?? [];
  return (
    <>
      <div className="page-head">
        <h1>Query</h1>
        <select
          className="select"
          aria-label="Dataset"
          value={dataset}
          onChange={(event) => void navigate({ params: { dataset: event.target.value } })}
        >
          <option value={ALL}>All datasets</option>
          {dataset !== ALL && !known.some((d) => d.slug === dataset) && <option value={dataset}>{dataset}</option>}
          {(["honeycomb", "xray", "logs"] as const).map((kind) => {
            const some = known.filter((d) => d.kind === kind);
            return (
              some.length > 0 && (
                <optgroup key={kind} label={{ honeycomb: "Datasets", xray: "X-Ray", logs: "Log groups" }[kind]}>
                  {some.map((d) => (
                    <option key={d.slug} value={d.slug}>
                      {d.name}
                    </option>
                  ))}
                </optgroup>
              )
            );
          })}
        </select>
        <span className="grow" />
        <StatsLine stats={answer.data?.answer.stats} />
        <button type="button" className={edited ? "btn primary" : "btn"} onClick={run} title="Run the query (⌘ Enter)">
          <Play size={12} aria-hidden /> Run
        </button>
      </div>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          run();
        }}
      >
        <Builder key={q ?? ""} spec={draft} columns={columns} onChange={setDraft} />
        <button type="submit" className="sr" tabIndex={-1}>
          Run
        </button>
      </form>
      {answer.isError && (
        <p className="query-refused" role="alert">
          <CircleX size={14} aria-hidden /> {answer.error.message}
        </p>
      )}
      {answer.isPending ? <Bones /> : answer.data && !answer.isError && <Results answer={answer.data.answer} />}
    </>
  );
}

function Results({ answer }: { answer: QueryAnswer }) {
  const { setRange } = useRange();
  const [focus, setFocus] = useState<string>();
  const from = new Date(answer.from).getTime();
  const to = new Date(answer.to).getTime();
  const onRange = (a: number, b: number) => setRange({ kind: "absolute", from: a, to: b });

  const groups = answer.results.map((r) => ({ key: groupKey(r, answer.breakdowns), row: r }));
  const hue = new Map(
    groups.slice(0, MOST_LINES).map((g, i) => [g.key, `var(--s${answer.breakdowns.length === 0 ? 0 : i})`]),
  );
  if (groups.length === 0) {
    return (
      <Empty
        icon={<Telescope size={18} aria-hidden />}
        title="No events match"
        actions={
          <button type="button" className="btn" onClick={() => setRange("7d")}>
            Last 7 days
          </button>
        }
      >
        Nothing in this time range passes the WHERE clause.
      </Empty>
    );
  }
  const tableColumns = answer.calculations.filter(
    (c) => !answer.results.every((r) => isHeatmap(r[c]) || r[c] === undefined),
  );
  return (
    <>
      <div className="charts">
        {answer.calculations.map((name) => {
          const column = /\((.*)\)$/.exec(name)?.[1];
          const heat = answer.series.flatMap((s) => {
            const cell = s.data[name];
            return isHeatmap(cell) ? [{ at: new Date(s.time).getTime(), cells: cell.buckets }] : [];
          });
          if (name.startsWith("HEATMAP")) {
            return (
              <Figure key={name} name={name} step={answer.granularity_s}>
                {heat.length > 0 ? (
                  <HeatmapChart
                    columns={heat}
                    stepMs={answer.granularity_s * 1000}
                    column={column}
                    from={from}
                    to={to}
                    name={name}
                    onRange={onRange}
                  />
                ) : (
                  <p className="dim">No values of {column} in this time range.</p>
                )}
              </Figure>
            );
          }
          const lines = new Map<string, Line>();
          for (const s of answer.series) {
            const key = groupKey(s.data, answer.breakdowns);
            const colour = hue.get(key);
            const value = s.data[name];
            if (!colour || typeof value !== "number") continue;
            const line = lines.get(key) ?? {
              key,
              name: answer.breakdowns.map((b) => String(s.data[b] ?? "–")).join(" · ") || name,
              hue: colour,
              points: [],
            };
            line.points.push({ at: new Date(s.time).getTime(), value });
            lines.set(key, line);
          }
          return (
            <Figure key={name} name={name} step={answer.granularity_s}>
              <LineChart
                lines={[...lines.values()]}
                column={column}
                from={from}
                to={to}
                name={name}
                focus={focus}
                onRange={onRange}
              />
            </Figure>
          );
        })}
      </div>
      <div className="results-scroll">
        <table className="table results" aria-label="Results">
          <thead>
            <tr>
              {answer.breakdowns.map((b) => (
                <th key={b}>{b}</th>
              ))}
              {tableColumns.map((c) => (
                <th key={c} className="num">
                  {c}
                </th>
              ))}
              <th className="tail">
                <span className="sr">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {groups.map(({ key, row }) => (
              <tr
                key={key}
                onMouseEnter={() => answer.breakdowns.length > 0 && setFocus(key)}
                onMouseLeave={() => setFocus(undefined)}
              >
                {answer.breakdowns.map((b, i) => (
                  <td key={b} className="mono">
                    <span className="row">
                      {i === 0 && (
                        <i className="swatch" style={{ background: hue.get(key) ?? "var(--line-2)" }} aria-hidden />
                      )}
                      <span className="cut group-value" title={String(row[b] ?? "")}>
                        {row[b] === undefined || row[b] === null ? <span className="dim">–</span> : String(row[b])}
                      </span>
                    </span>
                  </td>
                ))}
                {tableColumns.map((c) => {
                  const value = row[c];
                  const column = /\((.*)\)$/.exec(c)?.[1];
                  return (
                    <td key={c} className="num" title={typeof value === "number" ? String(value) : undefined}>
                      {typeof value === "number" ? (
                        valueText(value, /^COUNT/.test(c) ? undefined : column)
                      ) : (
                        <span className="dim">–</span>
                      )}
                    </td>
                  );
                })}
                <td className="tail">
                  {row["service.name"] !== undefined && (
                    <Link
                      to="/traces"
                      search={{ filter: `service("${String(row["service.name"])}")` }}
                      className="plain soft"
                    >
                      Traces
                    </Link>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="list-foot dim" style={{ padding: 16, textAlign: "center" }}>
        {count(groups.length)} {groups.length === 1 ? "group" : "groups"}
        {groups.length > MOST_LINES && `; the charts show the first ${MOST_LINES}`}
      </p>
    </>
  );
}

function Figure({ name, step, children }: { name: string; step: number; children: React.ReactNode }) {
  return (
    <figure className="figure">
      <figcaption>
        <b className="mono">{name}</b>
        <span className="dim">per {duration(step * 1000)}</span>
      </figcaption>
      {children}
    </figure>
  );
}
