import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import {
  ArrowDownNarrowWide,
  ArrowUpNarrowWide,
  ChevronDown,
  ChevronRight,
  ListFilter,
  ListTree,
  Search,
  WrapText,
} from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { ApiError, get } from "../api/client";
import type { LogEvent, LogEventsAnswer, LogStream } from "../api/contract";
import { ago, count, plural, shortStamp } from "../format";
import { Bones, CopyButton, FilterField, Moment, Problem, StatsLine, StatusIcon, TypeMark } from "../kit";
import { Histogram } from "../kit/Histogram";
import { useNow } from "../kit/useNow";
import { setPreferences, usePreferences } from "../shell/preferences";
import { useShortcuts } from "../shell/shortcuts";
import { RangeEmpty } from "../time/RangeEmpty";
import { resolve } from "../time/range";
import { useRange } from "../time/useRange";
import { severityStatus } from "../traces/tree";
import "../traces/traces.css";
import "./logs.css";

/** One log group: its streams, and the events of one or all of them. */
export function GroupPage() {
  const { group } = useParams({ from: "/logs/groups/$group" });
  const { stream, filter = "", order = "desc", event: opened } = useSearch({ from: "/logs/groups/$group" });
  const navigate = useNavigate({ from: "/logs/groups/$group" });
  const { range, text, setRange } = useRange();
  const { wrap } = usePreferences();
  const query = useInfiniteQuery({
    queryKey: ["log-events", group, stream, filter, order, text],
    placeholderData: keepPreviousData,
    initialPageParam: undefined as undefined | { cursor: string; from: number; to: number },
    queryFn: async ({ pageParam, signal }) => {
      const { from, to } = pageParam ?? resolve(range, Date.now());
      const ends = { from: Math.floor(from), to: Math.ceil(to) };
      const answer = await get<LogEventsAnswer>(
        "logs/events",
        { group, stream, filter, ...ends, limit: 200, cursor: pageParam?.cursor, order },
        signal,
      );
      return { ends, answer };
    },
    getNextPageParam: ({ ends, answer }) => (answer.next_cursor ? { cursor: answer.next_cursor, ...ends } : undefined),
  });
  const set = (change: { filter?: string; order?: string; event?: string }, replace = false) =>
    void navigate({ search: (old) => ({ ...old, ...change }), replace });
  useShortcuts({ w: () => setPreferences({ wrap: !wrap }) });

  const first = query.data?.pages[0];
  const events = query.data?.pages.flatMap((p) => p.answer.events) ?? [];
  const matched = first?.answer.histogram.reduce((n, b) => n + b.count, 0) ?? 0;
  const refusal = query.error instanceof ApiError && query.error.status === 400 ? query.error : undefined;
  return (
    <div className="logs-page">
      <div className="page-head">
        <Link to="/logs" className="crumb">
          Logs
        </Link>
        <span className="dim" aria-hidden>
          /
        </span>
        <h1 className="cut" title={group}>
          {group}
        </h1>
        {first && !refusal && (
          <span className="dim">
            {plural(matched, "event")}
            {filter && " match"}
          </span>
        )}
        <span className="grow" />
        <StatsLine stats={first?.answer.stats} />
      </div>
      <Streams group={group} current={stream} />
      <section className="events" aria-label="Events">
        <div className="list-tools">
          <FilterField
            value={filter}
            onApply={(next) => set({ filter: next || undefined, event: undefined })}
            label="CloudWatch filter pattern"
            placeholder={"Filter: ERROR, { $.status >= 500 }, [ip, user, ...]"}
            icon={<ListFilter size={13} aria-hidden />}
            error={refusal}
          />
          <button
            type="button"
            className="btn"
            onClick={() => set({ order: order === "desc" ? "asc" : undefined })}
            title="Change the order"
          >
            {order === "desc" ? (
              <ArrowDownNarrowWide size={13} aria-hidden />
            ) : (
              <ArrowUpNarrowWide size={13} aria-hidden />
            )}
            {order === "desc" ? "Newest first" : "Oldest first"}
          </button>
          <button
            type="button"
            className="btn icon"
            aria-pressed={wrap}
            aria-label="Wrap lines"
            title="Wrap lines (w)"
            onClick={() => setPreferences({ wrap: !wrap })}
          >
            <WrapText size={14} aria-hidden />
          </button>
        </div>
        {query.isPending ? (
          <Bones rows={14} />
        ) : refusal ? null : query.error && events.length === 0 ? (
          <Problem error={query.error} retry={() => void query.refetch()} />
        ) : events.length === 0 || !first ? (
          <RangeEmpty noun="log events" filter={filter} onClear={() => set({ filter: undefined })} />
        ) : (
          <>
            <Histogram
              bins={first.answer.histogram}
              bucketMs={first.answer.bucket_ms}
              from={first.ends.from}
              to={first.ends.to}
              noun="event"
              onRange={(from, to) => setRange({ kind: "absolute", from, to })}
            />
            <EventList
              events={events}
              opened={opened}
              wrap={wrap}
              showStream={stream === undefined}
              onOpen={(id) => set({ event: id }, true)}
              more={query.hasNextPage ? () => void query.fetchNextPage() : undefined}
              reading={query.isFetchingNextPage}
            />
          </>
        )}
      </section>
    </div>
  );
}

function Streams({ group, current }: { group: string; current: string | undefined }) {
  const [prefix, setPrefix] = useState("");
  const now = useNow();
  const query = useQuery({
    queryKey: ["log-streams", group, prefix],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => get<{ streams: LogStream[] }>("logs/streams", { group, prefix }, signal),
  });
  const streams = query.data?.streams ?? [];
  return (
    <nav className="streams" aria-label="Streams">
      <div className="field">
        <Search size={13} aria-hidden />
        <input
          type="search"
          aria-label="Prefix of the stream name"
          placeholder="Stream starts with…"
          value={prefix}
          spellCheck={false}
          onChange={(event) => setPrefix(event.target.value)}
        />
      </div>
      <ul>
        <li>
          <Link
            to="/logs/groups/$group"
            params={{ group }}
            activeOptions={{ exact: true, includeSearch: true, explicitUndefined: true }}
            search={(old) => ({ ...old, stream: undefined, event: undefined })}
            aria-current={current === undefined ? "true" : undefined}
          >
            <span>All streams</span>
            <span>
              {query.data
                ? plural(
                    streams.reduce((n, s) => n + s.events, 0),
                    "event",
                  )
                : "…"}
            </span>
          </Link>
        </li>
        {streams.map((s) => (
          <li key={s.name}>
            <Link
              to="/logs/groups/$group"
              params={{ group }}
              activeOptions={{ exact: true, includeSearch: true, explicitUndefined: true }}
              search={(old) => ({ ...old, stream: s.name, event: undefined })}
              aria-current={current === s.name ? "true" : undefined}
              title={s.name}
            >
              <span className="cut mono">{s.name}</span>
              <span>
                {plural(s.events, "event")}
                {s.last_event_at && ` · ${ago(s.last_event_at, now)}`}
              </span>
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function EventList({
  events,
  opened,
  wrap,
  showStream,
  onOpen,
  more,
  reading,
}: {
  events: LogEvent[];
  opened: string | undefined;
  wrap: boolean;
  showStream: boolean;
  onOpen: (id: string | undefined) => void;
  more: (() => void) | undefined;
  reading: boolean;
}) {
  const scroller = useRef<HTMLDivElement>(null);
  const { utc } = usePreferences();
  const rows = useVirtualizer({
    count: events.length + 1,
    getScrollElement: () => scroller.current,
    estimateSize: () => 27,
    overscan: 16,
    getItemKey: (i) => events[i]?.id ?? "foot",
    initialRect: { width: 800, height: 600 },
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: wrapping changes the height of every row
  useEffect(() => rows.measure(), [wrap]);
  const items = rows.getVirtualItems();
  const atEnd = (items.at(-1)?.index ?? 0) >= events.length;
  useEffect(() => {
    if (atEnd && more && !reading) more();
  }, [atEnd, more, reading]);
  return (
    <div className={wrap ? "event-scroll wrap" : "event-scroll"} ref={scroller}>
      <div
        className="event-sheet"
        role="list"
        aria-label={`${count(events.length)} events`}
        style={{ height: rows.getTotalSize() }}
      >
        {items.map((item) => {
          const event = events[item.index];
          const style = { transform: `translateY(${item.start}px)` };
          if (!event) {
            return (
              <div
                key={item.key}
                ref={rows.measureElement}
                data-index={item.index}
                className="event list-foot"
                role="listitem"
                style={style}
              >
                {more ? "Reading…" : "That is all in this time range."}
              </div>
            );
          }
          const open = event.id === opened;
          return (
            <div
              key={item.key}
              ref={rows.measureElement}
              data-index={item.index}
              role="listitem"
              className={open ? "event open" : "event"}
              style={style}
            >
              <button
                type="button"
                className="event-line"
                aria-expanded={open}
                onClick={() => onOpen(open ? undefined : event.id)}
              >
                {open ? <ChevronDown size={12} aria-hidden /> : <ChevronRight size={12} aria-hidden />}
                <Moment at={event.time}>{shortStamp(new Date(event.time), utc)}</Moment>
                <span className="sev" title={event.severity}>
                  <StatusIcon status={severityStatus(event.severity)} size={12} />
                </span>
                <span className="msg">{event.message}</span>
                {event.trace_id && (
                  <span className="has-trace" title="Belongs to a trace">
                    <ListTree size={12} aria-label="Belongs to a trace" />
                  </span>
                )}
              </button>
              {open && <EventDetails event={event} showStream={showStream} />}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function EventDetails({ event, showStream }: { event: LogEvent; showStream: boolean }) {
  const { utc } = usePreferences();
  return (
    <div className="event-more">
      <div className="row">
        {event.trace_id && (
          <Link to="/traces/$id" params={{ id: event.trace_id }} search={{ span: event.span_id }} className="btn small">
            <ListTree size={13} aria-hidden /> Open trace
          </Link>
        )}
        <CopyButton text={event.message} label="Copy the message" className="btn small">
          Copy message
        </CopyButton>
        <span className="dim">
          Ingested <Moment at={event.ingested_at}>{shortStamp(new Date(event.ingested_at), utc)}</Moment>
        </span>
        {showStream && (
          <span className="dim cut">
            Stream <code>{event.stream}</code>
          </span>
        )}
      </div>
      {event.fields.length > 0 && (
        <dl className="event-fields">
          {event.fields.map((field) => (
            <div key={field.name}>
              <dt>
                <TypeMark type={field.type} />
                <span title={field.name}>{field.name}</span>
              </dt>
              <dd className="mono">
                {String(field.value)}
                <CopyButton text={String(field.value)} label={`Copy ${field.name}`} />
              </dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}
