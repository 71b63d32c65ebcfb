import type { RowStatus, TraceAnswer, TraceRow } from "../api/contract";
import { epochMs } from "../format";

/** A row in its place. Offsets are milliseconds from the start of the trace. */
export interface Node {
  row: TraceRow;
  parent: Node | undefined;
  children: Node[];
  depth: number;
  /** Position in Tree.nodes. */
  index: number;
  /** Number of rows under this one. */
  size: number;
  from: number;
  to: number;
  /** Position among its siblings, from 1, and their number. */
  position: number;
  siblings: number;
}

/** A trace as a tree, in depth-first order. */
export interface Tree {
  nodes: Node[];
  byId: Map<string, Node>;
  /** The length of the trace in milliseconds; at least the end of the last row. */
  length: number;
}

/** Reports whether a row is a mark at one moment under a span, rather than a stretch of work. */
export function isMark(row: TraceRow): boolean {
  return row.kind === "log" || row.kind === "span_event" || row.kind === "link";
}

/** Reports whether a row tells of an exception. */
export function isException(row: TraceRow): boolean {
  return (
    row.kind === "span_event" && row.fields.some((f) => f.name === "exception.type" || f.name === "exception.message")
  );
}

/** Builds the tree. Rows with an unknown parent are roots, except marks, which hang under the first root. */
export function buildTree(answer: Pick<TraceAnswer, "start" | "duration_ms" | "rows">): Tree {
  const origin = epochMs(answer.start);
  const byId = new Map<string, Node>();
  const all: Node[] = answer.rows.map((row) => {
    const from = epochMs(row.start) - origin;
    return {
      row,
      parent: undefined,
      children: [],
      depth: 0,
      index: 0,
      size: 0,
      from,
      to: from + row.duration_ms,
      position: 1,
      siblings: 1,
    };
  });
  for (const node of all) if (!byId.has(node.row.id)) byId.set(node.row.id, node);

  const reaches = (from: Node | undefined, target: Node): boolean => {
    for (let at = from; at; at = at.parent) if (at === target) return true;
    return false;
  };
  const orphanMarks: Node[] = [];
  const roots: Node[] = [];
  for (const node of all) {
    const parent = node.row.parent_id === undefined ? undefined : byId.get(node.row.parent_id);
    if (parent && !reaches(parent, node)) {
      node.parent = parent;
      parent.children.push(node);
    } else if (isMark(node.row)) orphanMarks.push(node);
    else roots.push(node);
  }
  const first = roots[0];
  for (const mark of orphanMarks) {
    if (first) {
      mark.parent = first;
      first.children.push(mark);
    } else roots.push(mark);
  }

  const nodes: Node[] = [];
  const stack: Node[] = [];
  const push = (list: Node[], depth: number) => {
    list.sort((a, b) => a.from - b.from);
    for (let i = list.length - 1; i >= 0; i--) {
      const node = list[i];
      if (!node) continue;
      node.depth = depth;
      node.position = i + 1;
      node.siblings = list.length;
      stack.push(node);
    }
  };
  push(roots, 0);
  for (let node = stack.pop(); node; node = stack.pop()) {
    node.index = nodes.length;
    nodes.push(node);
    push(node.children, node.depth + 1);
  }
  let length = answer.duration_ms;
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i];
    if (!node) continue;
    if (node.parent) node.parent.size += node.size + 1;
    length = Math.max(length, node.to);
  }
  return { nodes, byId, length: length || 1 };
}

/** What the list leaves out. */
export interface Hidden {
  shut: ReadonlySet<string>;
  logs: boolean;
  events: boolean;
}

/** Reports whether a kind of mark has no rows of its own now. */
export function isHidden(row: TraceRow, hidden: Hidden): boolean {
  if (row.kind === "log") return hidden.logs;
  return (row.kind === "span_event" || row.kind === "link") && hidden.events;
}

/** The nodes to list, in order. */
export function visibleNodes(tree: Tree, hidden: Hidden): Node[] {
  const out: Node[] = [];
  for (let i = 0; i < tree.nodes.length; ) {
    const node = tree.nodes[i];
    if (!node) break;
    if (!isHidden(node.row, hidden)) out.push(node);
    i += hidden.shut.has(node.row.id) ? node.size + 1 : 1;
  }
  return out;
}

/** Reports whether text (lower case) is in a row's names, message or fields. */
export function matches(row: TraceRow, text: string): boolean {
  if (text === "") return false;
  const has = (s: string | undefined) => s?.toLowerCase().includes(text) ?? false;
  return (
    has(row.name) ||
    has(row.service) ||
    has(row.message) ||
    row.id === text ||
    row.fields.some((f) => has(`${f.name}=${f.value}`) || has(String(f.value)))
  );
}

/** Reports whether a row is worth a stop of the error jump. */
export function isTrouble(row: TraceRow): boolean {
  return row.status !== "ok" || isException(row) || (row.kind === "log" && severityStatus(row.severity) === "fault");
}

/** The status that a log severity amounts to. */
export function severityStatus(severity: string | undefined): RowStatus {
  const text = severity?.toUpperCase() ?? "";
  if (/^(ERROR|FATAL|CRIT|EMERG|ALERT|PANIC)/.test(text)) return "fault";
  return text.startsWith("WARN") ? "error" : "ok";
}

/**
 * The critical path: for each span on it, the stretches in which nothing but the span itself kept the trace from ending.
 * It goes back in time from the end of the first root; at each moment the child that ended last is the one waited for.
 */
export function criticalPath(tree: Tree): Map<string, [number, number][]> {
  const out = new Map<string, [number, number][]>();
  const add = (node: Node, from: number, to: number) => {
    if (to - from <= 0) return;
    const list = out.get(node.row.id);
    if (list) list.push([from, to]);
    else out.set(node.row.id, [[from, to]]);
  };
  const root = tree.nodes[0];
  if (!root) return out;
  const stack: { node: Node; until: number }[] = [{ node: root, until: root.to }];
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { node, until } = top;
    let cursor = Math.min(until, node.to);
    const spans = node.children.filter((c) => !isMark(c.row)).sort((a, b) => b.to - a.to);
    for (const child of spans) {
      // A child that outlives its parent was not waited for beyond the parent's end.
      const end = Math.min(child.to, node.to);
      if (end > cursor || child.from >= cursor || child.from < node.from) continue;
      add(node, end, cursor);
      stack.push({ node: child, until: end });
      cursor = child.from;
    }
    add(node, node.from, cursor);
  }
  return out;
}

/** A short name of a row for the URL. */
export function shortHash(id: string): string {
  let hash = 2166136261;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619);
  return (hash >>> 0).toString(36);
}

/** Round steps for an axis over a length: at most n of them after zero. */
export function ticks(from: number, to: number, n: number): number[] {
  const raw = (to - from) / n;
  if (!(raw > 0)) return [from];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? raw;
  const out: number[] = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) out.push(i * step || 0);
  return out;
}
