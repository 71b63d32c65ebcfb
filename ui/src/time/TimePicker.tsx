import { ChevronLeft, ChevronRight, Clock, Minus, Plus } from "lucide-react";
import { useId, useState } from "react";
import { dateMinute } from "../format";
import { Popover } from "../kit";
import { setPreferences, usePreferences } from "../shell/preferences";
import { useShortcuts } from "../shell/shortcuts";
import { PRESETS, parseRange, type Range, resolve, shift, zoom } from "./range";
import { useRange } from "./useRange";
import "./time.css";

/** A range in words. */
export function describeRange(range: Range, utc: boolean): string {
  if (range.kind === "relative") return PRESETS.find((p) => p.text === range.text)?.label ?? `Last ${range.text}`;
  const from = dateMinute(new Date(range.from), utc);
  const to = dateMinute(new Date(range.to), utc);
  return `${from} – ${from.slice(0, 10) === to.slice(0, 10) ? to.slice(11) : to}`;
}

/** The time range of the page: one text field, presets, and steps by key. */
export function TimePicker() {
  const { range, text, setRange } = useRange();
  const { utc } = usePreferences();
  const [open, setOpen] = useState(false);
  const [draft, setDraft] = useState("");
  const [bad, setBad] = useState(false);
  const hint = useId();
  const now = Date.now();

  const show = (next: boolean) => {
    setOpen(next);
    setBad(false);
    if (next) setDraft(range.kind === "relative" ? text : describeRange(range, utc).replace(" – ", " .. "));
  };
  const apply = (next: Range | string) => {
    setRange(next);
    setOpen(false);
  };

  useShortcuts({
    t: () => show(true),
    u: () => setPreferences({ utc: !utc }),
    "-": () => setRange(zoom(range, 2, Date.now())),
    "+": () => setRange(zoom(range, 0.5, Date.now())),
    "<": () => setRange(shift(range, -1, Date.now())),
    ">": () => setRange(shift(range, 1, Date.now())),
  });

  const parsed = parseRange(draft, now, utc);
  const ends = parsed && resolve(parsed, now);
  return (
    <Popover
      label="Time range"
      open={open}
      onOpen={show}
      className="btn time-button"
      button={
        <>
          <Clock size={13} aria-hidden />
          <span className="sr">Time range: </span>
          <span className="long cut">{describeRange(range, utc)}</span>
          <span className="short">{range.kind === "relative" ? range.text : "Fixed"}</span>
        </>
      }
    >
      <div className="time-panel">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            const next = parseRange(draft, Date.now(), utc);
            if (next) apply(next);
            else setBad(true);
          }}
        >
          <div className={bad ? "field bad" : "field"}>
            <Clock size={13} aria-hidden />
            <input
              // biome-ignore lint/a11y/noAutofocus: the panel opens on request, to type into this field
              autoFocus
              aria-label="Time range"
              aria-describedby={hint}
              aria-invalid={bad || undefined}
              value={draft}
              spellCheck={false}
              onFocus={(event) => event.target.select()}
              onChange={(event) => {
                setDraft(event.target.value);
                setBad(false);
              }}
            />
            <kbd>↵</kbd>
          </div>
          <p id={hint} className={bad ? "time-hint bad" : "time-hint"} role={bad ? "alert" : undefined}>
            {bad
              ? "Not a time range. Try 15m, now-2h..now-1h or 2026-11-23 01:00..02:00."
              : ends
                ? `${dateMinute(new Date(ends.from), utc)} – ${dateMinute(new Date(ends.to), utc)} ${utc ? "UTC" : "local time"}`
                : "15m · now-2h..now-1h · 2026-11-23 01:00..02:00 · epoch"}
          </p>
        </form>
        <ul className="time-presets">
          {PRESETS.map((p) => (
            <li key={p.text}>
              <button type="button" aria-current={p.text === text || undefined} onClick={() => apply(p.text)}>
                {p.label}
                <span className="mono dim">{p.text}</span>
              </button>
            </li>
          ))}
        </ul>
        <div className="time-steps">
          <button
            type="button"
            className="btn small icon"
            title="Half a window earlier (<)"
            aria-label="Half a window earlier"
            onClick={() => setRange(shift(range, -1, Date.now()))}
          >
            <ChevronLeft size={14} aria-hidden />
          </button>
          <button
            type="button"
            className="btn small icon"
            title="Half a window later (>)"
            aria-label="Half a window later"
            onClick={() => setRange(shift(range, 1, Date.now()))}
          >
            <ChevronRight size={14} aria-hidden />
          </button>
          <button
            type="button"
            className="btn small icon"
            title="Wider (-)"
            aria-label="Wider"
            onClick={() => setRange(zoom(range, 2, Date.now()))}
          >
            <Minus size={14} aria-hidden />
          </button>
          <button
            type="button"
            className="btn small icon"
            title="Narrower (+)"
            aria-label="Narrower"
            onClick={() => setRange(zoom(range, 0.5, Date.now()))}
          >
            <Plus size={14} aria-hidden />
          </button>
          <span className="grow" />
          {range.kind === "relative" && (
            <button
              type="button"
              className="btn small quiet"
              title="Makes the range absolute, so that a shared link shows the same data"
              onClick={() => apply({ kind: "absolute", ...resolve(range, Date.now()) })}
            >
              Freeze
            </button>
          )}
          <button
            type="button"
            className="btn small"
            aria-pressed={utc}
            title="Show times in UTC (u)"
            onClick={() => setPreferences({ utc: !utc })}
          >
            UTC
          </button>
        </div>
      </div>
    </Popover>
  );
}
