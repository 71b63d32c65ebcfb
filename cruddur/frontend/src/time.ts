const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

const monthDay = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** "now", "5m ago", "3h ago", then the day: "May 20". */
export function ago(iso: string, now = Date.now()): string {
  const past = now - Date.parse(iso);
  if (past < minute) return "now";
  if (past < hour) return `${Math.floor(past / minute)}m ago`;
  if (past < day) return `${Math.floor(past / hour)}h ago`;
  return monthDay.format(Date.parse(iso));
}

/** What is left, rounded to its largest unit: "5d", "12h", "3m". */
export function left(iso: string, now = Date.now()): string {
  const rest = Date.parse(iso) - now;
  if (rest <= 0) return "expired";
  if (rest >= day) return `${Math.round(rest / day)}d`;
  if (rest >= hour) return `${Math.round(rest / hour)}h`;
  return `${Math.max(1, Math.round(rest / minute))}m`;
}

export function precise(iso: string): string {
  return full.format(Date.parse(iso));
}
