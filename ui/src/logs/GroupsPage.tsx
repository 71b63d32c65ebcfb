import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Inbox, Search, SearchX } from "lucide-react";
import { get } from "../api/client";
import type { LogGroup, Stats } from "../api/contract";
import { ago, bytes, count, plural } from "../format";
import { Bones, Empty, Moment, Problem, StatsLine } from "../kit";
import { useNow } from "../kit/useNow";
import "../traces/traces.css";
import "./logs.css";

/** The log groups, with what each holds. */
export function GroupsPage() {
  const { prefix = "" } = useSearch({ from: "/logs" });
  const navigate = useNavigate({ from: "/logs" });
  const now = useNow();
  const query = useQuery({
    queryKey: ["log-groups", prefix],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => get<{ groups: LogGroup[]; stats: Stats }>("logs/groups", { prefix }, signal),
  });
  const groups = query.data?.groups ?? [];
  return (
    <>
      <div className="page-head">
        <h1>Logs</h1>
        {query.data && <span className="dim">{plural(groups.length, "log group")}</span>}
        <span className="grow" />
        <StatsLine stats={query.data?.stats} />
      </div>
      <div className="list-tools">
        <div className="field grow">
          <Search size={13} aria-hidden />
          <input
            type="search"
            data-query=""
            aria-label="Prefix of the group name"
            placeholder="Name starts with…"
            value={prefix}
            spellCheck={false}
            onChange={(event) =>
              void navigate({ search: (old) => ({ ...old, prefix: event.target.value || undefined }), replace: true })
            }
          />
        </div>
      </div>
      {query.isPending ? (
        <Bones />
      ) : query.isError ? (
        <Problem error={query.error} retry={() => void query.refetch()} />
      ) : groups.length === 0 && prefix ? (
        <Empty icon={<SearchX size={18} aria-hidden />} title="No log group of this name">
          No group starts with <code>{prefix}</code>.
        </Empty>
      ) : groups.length === 0 ? (
        <Empty
          icon={<Inbox size={18} aria-hidden />}
          title="No log groups yet"
          actions={
            <Link to="/" className="btn primary">
              Set up a client
            </Link>
          }
        >
          A group comes into being when a client creates it, or when log lines arrive by OTLP.
        </Empty>
      ) : (
        <table className="table groups" aria-label="Log groups">
          <thead>
            <tr>
              <th className="name">Group</th>
              <th className="num">Events</th>
              <th className="num wide">Streams</th>
              <th className="num wide">Stored</th>
              <th className="wide">Retention</th>
              <th>Last event</th>
            </tr>
          </thead>
          <tbody>
            {groups.map((g) => (
              <tr key={g.name} className="linked">
                <td className="name">
                  <Link
                    to="/logs/groups/$group"
                    params={{ group: g.name }}
                    className="whole mono cut"
                    style={{ display: "block" }}
                    title={g.name}
                  >
                    {g.name}
                  </Link>
                </td>
                <td className="num">{count(g.events)}</td>
                <td className="num wide">{count(g.streams)}</td>
                <td className="num wide">{bytes(g.stored_bytes)}</td>
                <td className="wide soft">{g.retention_days ? plural(g.retention_days, "day") : "Forever"}</td>
                <td className="soft">
                  {g.last_event_at ? (
                    <Moment at={g.last_event_at}>{ago(g.last_event_at, now)}</Moment>
                  ) : (
                    <span className="dim">never</span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
