import { Link } from "@tanstack/react-router";
import { FilterX, Inbox, Telescope } from "lucide-react";
import type { ReactNode } from "react";
import { useStatus } from "../api/status";
import { ago, plural } from "../format";
import { Empty } from "../kit";
import { useNow } from "../kit/useNow";
import { PRESETS, parseRange, type Range } from "./range";
import { useRange } from "./useRange";

/** The shortest preset that still reaches a moment, or a fixed hour about it. */
function rangeAround(at: number, now: number): Range {
  const preset = PRESETS.map((p) => parseRange(p.text, now, true)).find(
    (r) => r?.kind === "relative" && now - r.ms < at - 1000,
  );
  return preset ?? { kind: "absolute", from: at - 1_800_000, to: at + 1_800_000 };
}

/** Says why a list over a range is empty: no data ever, none in the range, or all of it filtered out. */
export function RangeEmpty({
  noun,
  filter,
  seen,
  newest,
  onClear,
}: {
  noun: string;
  filter?: string;
  seen?: number;
  newest?: string;
  onClear?: () => void;
}) {
  const { data: status } = useStatus();
  const { setRange } = useRange();
  const now = useNow();
  const last = newest ?? status?.newest_event_at;
  if (filter && (seen === undefined || seen > 0)) {
    return (
      <Empty
        icon={<FilterX size={18} aria-hidden />}
        title={`No ${noun} match the filter`}
        actions={
          onClear && (
            <button type="button" className="btn" onClick={onClear}>
              Clear the filter
            </button>
          )
        }
      >
        {seen === undefined
          ? "Nothing in this time range matches."
          : `${plural(seen, noun.replace(/s$/, ""), noun)} in this time range, and the filter leaves none of them: `}
        {seen !== undefined && <code>{filter}</code>}
      </Empty>
    );
  }
  if (status && status.events === 0) {
    return (
      <Empty
        icon={<Inbox size={18} aria-hidden />}
        title="No data yet"
        actions={
          <Link to="/" className="btn primary">
            Set up a client
          </Link>
        }
      >
        Nothing has arrived at this server. The set-up on Home has what to paste, with its addresses.
      </Empty>
    );
  }
  let lastSeen: ReactNode = "";
  if (last) lastSeen = `The newest event came ${ago(last, now)}.`;
  return (
    <Empty
      icon={<Telescope size={18} aria-hidden />}
      title={`No ${noun} in this time range`}
      actions={
        <>
          {last && (
            <button
              type="button"
              className="btn primary"
              onClick={() => setRange(rangeAround(new Date(last).getTime(), Date.now()))}
            >
              Jump to the newest event
            </button>
          )}
          <button type="button" className="btn" onClick={() => setRange("7d")}>
            Last 7 days
          </button>
        </>
      }
    >
      {lastSeen}
    </Empty>
  );
}
