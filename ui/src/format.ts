/** Text forms of numbers and times. Every number gets a unit; short forms go with a full form for a title. */

const NBSP = " ";

function trim(value: number, digits: number): string {
  const text = value.toFixed(digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** A duration in three significant figures or so: 850 µs, 12.3 ms, 1.25 s, 2 m 5 s, 3 h 4 m. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  const size = Math.abs(ms);
  if (size === 0) return `0${NBSP}ms`;
  if (size < 0.001) return `${trim(ms * 1e6, 0)}${NBSP}ns`;
  if (size < 1) return `${trim(ms * 1000, size < 0.01 ? 1 : 0)}${NBSP}µs`;
  if (size < 10) return `${trim(ms, 2)}${NBSP}ms`;
  if (size < 100) return `${trim(ms, 1)}${NBSP}ms`;
  if (size < 999.5) return `${trim(ms, 0)}${NBSP}ms`;
  if (size < 59_995) return `${trim(ms / 1000, 2)}${NBSP}s`;
  const seconds = Math.round(ms / 1000);
  if (size < 3_600_000)
    return seconds % 60 === 0
      ? `${seconds / 60}${NBSP}m`
      : `${Math.floor(seconds / 60)}${NBSP}m ${seconds % 60}${NBSP}s`;
  const minutes = Math.round(ms / 60_000);
  if (size < 86_400_000)
    return minutes % 60 === 0
      ? `${minutes / 60}${NBSP}h`
      : `${Math.floor(minutes / 60)}${NBSP}h ${minutes % 60}${NBSP}m`;
  const hours = Math.round(ms / 3_600_000);
  return hours % 24 === 0 ? `${hours / 24}${NBSP}d` : `${Math.floor(hours / 24)}${NBSP}d ${hours % 24}${NBSP}h`;
}

/** A duration to the nanosecond in its natural unit, for titles. */
export function fullDuration(ms: number): string {
  return `${ms.toLocaleString("en-US", { maximumFractionDigits: 6 })}${NBSP}ms`;
}

/** A count: 999, 12,345, 1.23 M. */
export function count(value: number): string {
  if (Math.abs(value) >= 1e9) return `${trim(value / 1e9, 2)}${NBSP}G`;
  if (Math.abs(value) >= 1e6) return `${trim(value / 1e6, 2)}${NBSP}M`;
  return value.toLocaleString("en-US", { maximumFractionDigits: 2 });
}

/** A count with its noun: 1 span, 2 spans. */
export function plural(value: number, noun: string, nouns = `${noun}s`): string {
  return `${count(value)}${NBSP}${value === 1 ? noun : nouns}`;
}

/** A size in binary units: 512 B, 1.5 KiB, 20 MiB. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let rest = value;
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit++;
  }
  return `${trim(rest, rest < 10 && unit > 0 ? 1 : 0)}${NBSP}${units[unit]}`;
}

/** A share of one in per cent: 0 %, 0.4 %, 12 %. */
export function percent(share: number): string {
  if (share > 0 && share < 0.001) return `<0.1${NBSP}%`;
  return `${trim(share * 100, share < 0.1 ? 1 : 0)}${NBSP}%`;
}

function pad(value: number, width = 2): string {
  return String(value).padStart(width, "0");
}

function parts(at: Date, utc: boolean) {
  return utc
    ? ([
        at.getUTCFullYear(),
        at.getUTCMonth() + 1,
        at.getUTCDate(),
        at.getUTCHours(),
        at.getUTCMinutes(),
        at.getUTCSeconds(),
        at.getUTCMilliseconds(),
      ] as const)
    : ([
        at.getFullYear(),
        at.getMonth() + 1,
        at.getDate(),
        at.getHours(),
        at.getMinutes(),
        at.getSeconds(),
        at.getMilliseconds(),
      ] as const);
}

/** The time of day, with milliseconds when asked: 03:27:42.123. */
export function clock(at: Date, utc: boolean, millis = false): string {
  const [, , , h, m, s, ms] = parts(at, utc);
  return `${pad(h)}:${pad(m)}:${pad(s)}${millis ? `.${pad(ms, 3)}` : ""}`;
}

/** Date and time of day to the minute: 2026-11-23 03:27. */
export function dateMinute(at: Date, utc: boolean): string {
  const [y, mo, d, h, m] = parts(at, utc);
  return `${y}-${pad(mo)}-${pad(d)} ${pad(h)}:${pad(m)}`;
}

/** Month, day and time of day: Nov 23 03:27:42.123. */
export function shortStamp(at: Date, utc: boolean, millis = true): string {
  const [, mo, d] = parts(at, utc);
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  return `${months[mo - 1]}${NBSP}${pad(d)} ${clock(at, utc, millis)}`;
}

/** Full precision for titles: the server's own UTC text and the local time beside it. */
export function fullStamp(text: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  return `${text.replace("T", " ").replace("Z", "")} UTC · ${dateMinute(at, false)}:${pad(at.getSeconds())} local`;
}

/** How long ago, coarsely: now, 12 s ago, 3 h ago. */
export function ago(text: string, now: number): string {
  const ms = now - new Date(text).getTime();
  if (Number.isNaN(ms)) return "–";
  if (ms < 5000) return "just now";
  if (ms < 60_000) return `${Math.floor(ms / 1000)}${NBSP}s ago`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)}${NBSP}min ago`;
  if (ms < 172_800_000) return `${Math.floor(ms / 3_600_000)}${NBSP}h ago`;
  return `${Math.floor(ms / 86_400_000)}${NBSP}d ago`;
}

/** Milliseconds since the epoch with the fraction that Date drops. */
export function epochMs(text: string): number {
  const match = /^(.*?\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (!match) return new Date(text).getTime();
  return new Date(`${match[1]}${match[3]}`).getTime() + (match[2] ? Number(match[2]) * 1000 : 0);
}
