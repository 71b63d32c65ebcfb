/** Addresses of other consoles that mean a page of this one. */

/** A page of this console. */
export type Place =
  | { to: "trace"; id: string; span?: string }
  | { to: "group"; group: string; stream?: string }
  | { to: "dataset"; dataset: string };

const TRACE_ID = /(1-[0-9a-f]{8}-[0-9a-f]{24}|[0-9a-f]{32})/i;

/** CloudWatch encodes names twice, with $ for the per cent sign. */
function cloudwatchName(text: string): string {
  try {
    return decodeURIComponent(decodeURIComponent(text.replaceAll("$", "%")));
  } catch {
    return text;
  }
}

/** The place that a fragment of the AWS console means: #xray:traces/1-…, #/traces/1-…, #logsV2:log-groups/log-group/NAME/log-events/STREAM. */
export function placeOfHash(hash: string): Place | undefined {
  const text = hash.replace(/^#/, "");
  if (/^(xray:|\/)?\/?traces\//i.test(text)) {
    const id = TRACE_ID.exec(text)?.[1];
    return id ? { to: "trace", id } : undefined;
  }
  const group = /^logsV2:log-groups\/log-group\/([^/?]+)(?:\/log-events\/([^/?]+))?/.exec(text);
  if (group?.[1]) {
    return { to: "group", group: cloudwatchName(group[1]), stream: group[2] && cloudwatchName(group[2]) };
  }
  return undefined;
}

/** The place that a path of Honeycomb means: /…/datasets/NAME/trace?trace_id=…, /…/datasets/NAME. */
export function placeOfPath(path: string, search: URLSearchParams): Place | undefined {
  const match =
    /(?:^|\/)datasets\/([^/]+)(\/trace)?(?:\/|$)/.exec(path) ??
    /(?:^|\/)environments\/[^/]+(?:\/())?(\/?trace)(?:\/|$)/.exec(path);
  if (!match) return undefined;
  const id = search.get("trace_id");
  if (match[2] && id) return { to: "trace", id, span: search.get("span") ?? undefined };
  return match[1] ? { to: "dataset", dataset: decodeURIComponent(match[1]) } : undefined;
}
