import type { DaemonStatus, SourceStatus } from "../api/contract";
import { count } from "../format";

/** Why a source's events were refused, in words: the last reason and, of X-Ray's datagrams, how many for each. */
export function refusals(source: SourceStatus, daemon: DaemonStatus): string | undefined {
  const words = source.last_rejection ? [`Last: ${source.last_rejection.reason}`] : [];
  if (source.source === "xray") {
    const reasons = Object.entries(daemon.rejected).filter(([, n]) => n > 0);
    if (daemon.spilled > 0) reasons.push(["too many at once", daemon.spilled]);
    reasons.sort((a, b) => b[1] - a[1]);
    if (reasons.length > 0)
      words.push(`Datagrams: ${reasons.map(([reason, n]) => `${reason} ${count(n)}`).join(", ")}`);
  }
  return words.join(". ") || undefined;
}
