import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { ListFilter, Sparkles } from "lucide-react";
import { useState } from "react";
import { ApiError, get } from "../api/client";
import type { DurationBin, TracesAnswer } from "../api/contract";
import { count, duration, plural } from "../format";
import { Bones, FilterField, Popover, Problem, StatsLine } from "../kit";
import { useShortcuts } from "../shell/shortcuts";
import { RangeEmpty } from "../time/RangeEmpty";
import { resolve } from "../time/range";
import { useRange } from "../time/useRange";
import { TraceTable } from "./TraceTable";

const EXAMPLES: [string, string][] = [
  ["fault", "the entry point answered 5xx"],
  ["service() { fault }", "any service in the trace failed"],
  ['service("backend-flask")', "went through one service"],
  ["duration > 1", "took longer than a second"],
  ["http.status = 404", "answered with one status"],
  ['http.url CONTAINS "/api/"', "by part of the address"],
  ['annotation.user_id = "andrew"', "by an annotation"],
  ['edge("backend-flask", "postgres") { duration > 0.1 }', "by a slow call between two services"],
];

/** Traces of the range, newest first, through an X-Ray filter expression. */
export function TracesPage() {
  const { filter = "" } = useSearch({ from: "/traces" });
  const navigate = useNavigate({ from: "/traces" });
  const { range, text } = useRange();
  const [examples, setExamples] = useState(false);
  const query = useInfiniteQuery({
    queryKey: ["traces", filter, text],
    placeholderData: keepPreviousData,
    initialPageParam: undefined as undefined | { cursor: string; from: number; to: number },
    queryFn: async ({ pageParam, signal }) => {
      // Later pages keep the ends of the first, or a moving range would skip traces.
      const { from, to } = pageParam ?? resolve(range, Date.now());
      const ends = { from: Math.floor(from), to: Math.ceil(to) };
      const answer = await get<TracesAnswer>(
        "traces",
        { ...ends, filter, limit: 50, cursor: pageParam?.cursor },
        signal,
      );
      return { ends, answer };
    },
    getNextPageParam: ({ ends, answer }) => (answer.next_cursor ? { cursor: answer.next_cursor, ...ends } : undefined),
  });
  const apply = (next: string) => void navigate({ search: (old) => ({ ...old, filter: next || undefined }) });

  const step = (by: 1 | -1) => {
    const links = [...document.querySelectorAll<HTMLElement>("a[data-trace]")];
    const at = links.indexOf(document.activeElement as HTMLElement);
    links[Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
  };
  useShortcuts({ j: () => step(1), k: () => step(-1) });

  const first = query.data?.pages[0]?.answer;
  const traces = query.data?.pages.flatMap((p) => p.answer.traces) ?? [];
  const refusal = query.error instanceof ApiError && query.error.status === 400 ? query.error : undefined;
  const narrow = (bin: DurationBin) => {
    const part = `duration >= ${bin.from_ms / 1000} AND duration < ${bin.to_ms / 1000}`;
    apply(filter ? `(${filter}) AND ${part}` : part);
  };
  return (
    <>
      <div className="page-head">
        <h1>Traces</h1>
        {first && !query.error && (
          <span className="dim">
            {filter
              ? `${count(traces.length)}${query.hasNextPage ? "+" : ""} of ${plural(first.seen, "trace")}`
              : plural(first.seen, "trace")}
          </span>
        )}
        <span className="grow" />
        <StatsLine stats={first?.stats} />
      </div>
      <div className="list-tools">
        <FilterField
          value={filter}
          onApply={apply}
          label="X-Ray filter expression"
          placeholder='Filter: service("backend-flask") { fault }, duration > 1, http.status = 500'
          icon={<ListFilter size={13} aria-hidden />}
          error={refusal}
        />
        <Popover
          label="Examples"
          open={examples}
          onOpen={setExamples}
          className="btn filter-examples"
          button={
            <>
              <Sparkles size={13} aria-hidden /> <span className="word">Examples</span>
            </>
          }
        >
          <div className="examples">
            {EXAMPLES.map(([text, what]) => (
              <button
                key={text}
                type="button"
                onClick={() => {
                  setExamples(false);
                  apply(text);
                }}
              >
                <code>{text}</code>
                <span>{what}</span>
              </button>
            ))}
          </div>
        </Popover>
      </div>
      {query.isPending ? (
        <Bones rows={12} />
      ) : refusal ? null : query.error && traces.length === 0 ? (
        <Problem error={query.error} retry={() => void query.refetch()} />
      ) : traces.length === 0 ? (
        <RangeEmpty noun="traces" filter={filter} seen={first?.seen} onClear={() => apply("")} />
      ) : (
        <>
          {first && first.histogram.length > 1 && <Spread bins={first.histogram} onPick={narrow} />}
          <TraceTable traces={traces} label="Traces" />
          <div className="list-foot">
            {query.hasNextPage ? (
              <button
                type="button"
                className="btn"
                disabled={query.isFetchingNextPage}
                onClick={() => void query.fetchNextPage()}
              >
                {query.isFetchingNextPage ? "Reading…" : "Older traces"}
              </button>
            ) : (
              <span>That is all in this time range.</span>
            )}
          </div>
        </>
      )}
    </>
  );
}

/** How the durations are spread. A click on a bar, or a drag over some, narrows the filter to their traces. */
function Spread({ bins, onPick }: { bins: DurationBin[]; onPick: (bin: DurationBin) => void }) {
  const [brush, setBrush] = useState<{ a: number; b: number }>();
  const [hover, setHover] = useState<number>();
  const most = Math.max(...bins.map((b) => b.count), 1);
  const total = bins.reduce((n, b) => n + b.count, 0);
  const at = (event: React.PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.max(0, Math.min(bins.length - 1, Math.floor(((event.clientX - box.left) / box.width) * bins.length)));
  };
  const low = brush ? Math.min(brush.a, brush.b) : hover;
  const high = brush ? Math.max(brush.a, brush.b) : hover;
  const first = low === undefined ? undefined : bins[low];
  const last = high === undefined ? undefined : bins[high];
  const picked = first &&
    last && {
      from_ms: first.from_ms,
      to_ms: last.to_ms,
      count: bins.slice(low, (high ?? 0) + 1).reduce((n, b) => n + b.count, 0),
    };
  const ends = [bins[0]?.from_ms ?? 0, bins.at(-1)?.to_ms ?? 0] as const;
  return (
    <section className="spread" aria-label="Durations">
      <h2>Durations</h2>
      <div>
        <div
          className="bars"
          role="img"
          aria-label={`Durations of ${plural(total, "trace")}, from ${duration(ends[0])} to ${duration(ends[1])}`}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            setBrush({ a: at(event), b: at(event) });
          }}
          onPointerMove={(event) => {
            setHover(at(event));
            if (brush) setBrush({ ...brush, b: at(event) });
          }}
          onPointerLeave={() => setHover(undefined)}
          onPointerUp={() => {
            setBrush(undefined);
            if (picked && picked.count > 0) onPick(picked);
          }}
        >
          {bins.map((bin, i) => (
            <span
              key={bin.from_ms}
              className={low !== undefined && high !== undefined && i >= low && i <= high ? "on" : undefined}
            >
              <i style={{ height: bin.count === 0 ? 1 : Math.max(3, (bin.count / most) * 44) }} />
            </span>
          ))}
        </div>
        <div className="ends">
          <span>{duration(ends[0])}</span>
          <span>
            {picked && `${duration(picked.from_ms)} – ${duration(picked.to_ms)}: ${plural(picked.count, "trace")}`}
          </span>
          <span>{duration(ends[1])}</span>
        </div>
      </div>
    </section>
  );
}
