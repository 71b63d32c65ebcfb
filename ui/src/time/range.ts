/** Time ranges as text: what the picker accepts, what the URL carries, and what a query is sent. */

/** A range that is resolved at the moment of use (relative) or fixed (absolute). */
export type Range = { kind: "relative"; ms: number; text: string } | { kind: "absolute"; from: number; to: number };

/** The default range of every page. */
export const DEFAULT_RANGE = "1h";

/** Ranges offered by the picker. */
export const PRESETS: { text: string; label: string }[] = [
  { text: "5m", label: "Last 5 minutes" },
  { text: "15m", label: "Last 15 minutes" },
  { text: "1h", label: "Last hour" },
  { text: "3h", label: "Last 3 hours" },
  { text: "12h", label: "Last 12 hours" },
  { text: "1d", label: "Last day" },
  { text: "7d", label: "Last 7 days" },
  { text: "30d", label: "Last 30 days" },
];

const UNIT: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const UNIT_WORD: Record<string, string> = {
  ms: "ms",
  s: "s",
  sec: "s",
  secs: "s",
  second: "s",
  seconds: "s",
  m: "m",
  min: "m",
  mins: "m",
  minute: "m",
  minutes: "m",
  h: "h",
  hr: "h",
  hrs: "h",
  hour: "h",
  hours: "h",
  d: "d",
  day: "d",
  days: "d",
  w: "w",
  week: "w",
  weeks: "w",
};

const SPAN = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i;

function span(text: string): { ms: number; text: string } | undefined {
  const match = SPAN.exec(text.trim());
  const unit = match && UNIT_WORD[(match[2] ?? "").toLowerCase()];
  const factor = unit ? UNIT[unit] : undefined;
  if (!match || !unit || factor === undefined) return undefined;
  const ms = Number(match[1]) * factor;
  return ms > 0 ? { ms, text: `${Number(match[1])}${unit}` } : undefined;
}

/** Reads one end of a range: now, now-1h, now-1d/d, an epoch in s, ms, µs or ns, or a date with an optional time. */
export function parseInstant(text: string, now: number, utc: boolean): number | undefined {
  const trimmed = text.trim();
  const relative = /^now(?:\s*-\s*([\d.]+\s*[a-z]+))?(?:\s*\/\s*([smhdw]))?$/i.exec(trimmed);
  if (relative) {
    let at = now;
    if (relative[1]) {
      const back = span(relative[1]);
      if (!back) return undefined;
      at -= back.ms;
    }
    if (relative[2]) {
      const step = UNIT[relative[2].toLowerCase()] ?? 1;
      const shift = utc ? 0 : new Date(at).getTimezoneOffset() * 60_000;
      at = Math.floor((at - shift) / step) * step + shift;
    }
    return at;
  }
  if (/^\d{9,19}(\.\d+)?$/.test(trimmed)) {
    const digits = trimmed.split(".")[0]?.length ?? 0;
    const value = Number(trimmed);
    if (digits <= 11) return value * 1000;
    if (digits <= 14) return value;
    if (digits <= 17) return value / 1000;
    return value / 1e6;
  }
  const date = /^(\d{4}-\d\d-\d\d)(?:[T ]+(\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?\s*(Z|UTC|[+-]\d\d:?\d\d)?$/i.exec(trimmed);
  if (date) {
    let zone = date[3] ?? (utc ? "Z" : "");
    if (/^utc$/i.test(zone)) zone = "Z";
    const at = new Date(`${date[1]}T${date[2] ?? "00:00"}${zone}`).getTime();
    return Number.isNaN(at) ? undefined : at;
  }
  const time = /^(\d\d:\d\d(?::\d\d)?)$/.exec(trimmed);
  if (time) {
    const shift = utc ? 0 : new Date(now).getTimezoneOffset() * 60_000;
    const day = new Date(now - shift).toISOString().slice(0, 10);
    return new Date(`${day}T${time[1]}${utc ? "Z" : ""}`).getTime();
  }
  return undefined;
}

/**
 * Reads a range: "15m", "last 3 hours", "now-1h", "now-2h..now-1h", "2026-11-23 01:00..02:00", two instants with "..",
 * " to " or " – " between them, one day, or a pasted address of this console that carries a range.
 */
export function parseRange(input: string, now: number, utc: boolean): Range | undefined {
  let text = input.trim();
  if (/^https?:\/\//i.test(text)) {
    try {
      text = new URL(text).searchParams.get("t") ?? "";
    } catch {
      return undefined;
    }
  }
  text = text.replace(/^(last|past|-)\s*/i, "");
  const plain = span(text);
  if (plain) return { kind: "relative", ...plain };
  const backFromNow = /^now\s*-\s*([\d.]+\s*[a-z]+)(?:\s*(?:\.\.|–|\bto\b)\s*now)?$/i.exec(text);
  if (backFromNow?.[1]) {
    const back = span(backFromNow[1]);
    return back && { kind: "relative", ...back };
  }
  const ends = text.split(/\s*\.\.+\s*|\s+to\s+|\s*[–—]\s*|\s+-\s+/i);
  if (ends.length === 2 && ends[0] && ends[1]) {
    const from = parseInstant(ends[0], now, utc);
    let to = parseInstant(ends[1], now, utc);
    // "2026-11-23 01:00..02:00": the second end takes the day of the first.
    const day = /^\d{4}-\d\d-\d\d/.exec(ends[0])?.[0];
    if (day && /^\d\d:\d\d(:\d\d)?$/.test(ends[1])) to = parseInstant(`${day} ${ends[1]}`, now, utc);
    if (from === undefined || to === undefined || to <= from) return undefined;
    return { kind: "absolute", from, to };
  }
  if (/^\d{4}-\d\d-\d\d$/.test(text)) {
    const from = parseInstant(text, now, utc);
    return from === undefined ? undefined : { kind: "absolute", from, to: from + 86_400_000 };
  }
  const from = parseInstant(text, now, utc);
  return from !== undefined && from < now ? { kind: "absolute", from, to: now } : undefined;
}

/** The form of a range in the URL. */
export function rangeParam(range: Range): string {
  if (range.kind === "relative") return range.text;
  return `${new Date(range.from).toISOString()}..${new Date(range.to).toISOString()}`;
}

/** The range that a URL carries; the default for none or nonsense. */
export function rangeOfParam(text: string | undefined, now: number): Range {
  return (text && parseRange(text, now, true)) || { kind: "relative", ms: 3_600_000, text: DEFAULT_RANGE };
}

/** The two ends of a range at a moment, in epoch milliseconds. */
export function resolve(range: Range, now: number): { from: number; to: number } {
  return range.kind === "relative" ? { from: now - range.ms, to: now } : { from: range.from, to: range.to };
}

/** The range that is moved by half its width, earlier (-1) or later (+1). */
export function shift(range: Range, direction: -1 | 1, now: number): Range {
  const { from, to } = resolve(range, now);
  const by = ((to - from) / 2) * direction;
  return { kind: "absolute", from: from + by, to: to + by };
}

/** The range that is twice (factor 2) or half (factor 0.5) as wide about the same middle; a relative one keeps its end at now. */
export function zoom(range: Range, factor: number, now: number): Range {
  if (range.kind === "relative") {
    const ms = Math.max(1000, range.ms * factor);
    for (const unit of ["d", "h", "m", "s"]) {
      const size = UNIT[unit] ?? 1;
      if (ms >= size && ms % size === 0) return { kind: "relative", ms, text: `${ms / size}${unit}` };
    }
    return { kind: "relative", ms, text: `${Math.round(ms)}ms` };
  }
  const { from, to } = resolve(range, now);
  const middle = (from + to) / 2;
  const half = Math.max(500, ((to - from) / 2) * factor);
  return {
    kind: "absolute",
    from: middle - half,
    to: Math.max(middle - half + 1000, Math.min(middle + half, Math.max(now, to))),
  };
}
