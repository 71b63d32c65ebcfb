import type { MapEdge, MapNode } from "../api/contract";

/** Where a node stands. */
export interface Placed {
  node: MapNode;
  x: number;
  y: number;
  layer: number;
}

/** The measures of the drawing. */
export const COLUMN = 230;
export const LINE = 150;

/**
 * Places nodes in columns: a node stands right of all that call it, calls that close a cycle not counted. Inside a column the nodes
 * are ordered by the mean place of their neighbours, so that few lines cross.
 */
export function layoutMap(
  nodes: MapNode[],
  edges: MapEdge[],
): { placed: Map<number, Placed>; width: number; height: number } {
  const out = new Map<number, number[]>();
  const known = new Set(nodes.map((n) => n.id));
  const degree = new Map<number, number>(nodes.map((n) => [n.id, 0]));
  for (const e of edges) {
    if (!known.has(e.source) || !known.has(e.target) || e.source === e.target) continue;
    out.set(e.source, [...(out.get(e.source) ?? []), e.target]);
    degree.set(e.target, (degree.get(e.target) ?? 0) + 1);
  }

  // Depth-first from clients, then roots, then whatever nobody calls; an edge to a node that is still open closes a cycle.
  const layer = new Map<number, number>();
  const open = new Set<number>();
  const forward = new Map<number, number[]>();
  const order: number[] = [];
  const visit = (start: number) => {
    const stack: { id: number; next: number }[] = [{ id: start, next: 0 }];
    open.add(start);
    const seenHere = layer;
    seenHere.set(start, 0);
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      if (!top) break;
      const target = (out.get(top.id) ?? [])[top.next++];
      if (target === undefined) {
        open.delete(top.id);
        order.push(top.id);
        stack.pop();
      } else if (!open.has(target)) {
        forward.set(top.id, [...(forward.get(top.id) ?? []), target]);
        if (!seenHere.has(target)) {
          seenHere.set(target, 0);
          open.add(target);
          stack.push({ id: target, next: 0 });
        }
      }
    }
  };
  const rank = (n: MapNode) => (n.type === "client" ? 0 : n.root ? 1 : (degree.get(n.id) ?? 0) === 0 ? 2 : 3);
  for (const n of [...nodes].sort((a, b) => rank(a) - rank(b))) if (!layer.has(n.id)) visit(n.id);
  for (const id of order.reverse()) {
    for (const target of forward.get(id) ?? [])
      layer.set(target, Math.max(layer.get(target) ?? 0, (layer.get(id) ?? 0) + 1));
  }

  const columns: MapNode[][] = [];
  for (const n of nodes) {
    const at = layer.get(n.id) ?? 0;
    columns[at] = [...(columns[at] ?? []), n];
  }
  const place = new Map<number, number>();
  for (const column of columns)
    for (const [i, n] of (column ?? []).entries()) place.set(n.id, i - ((column?.length ?? 0) - 1) / 2);
  for (let round = 0; round < 6; round++) {
    for (const column of round % 2 === 0 ? columns : [...columns].reverse()) {
      if (!column) continue;
      const mean = (n: MapNode) => {
        const near = edges
          .filter((e) => (round % 2 === 0 ? e.target : e.source) === n.id)
          .map((e) => place.get(round % 2 === 0 ? e.source : e.target) ?? 0);
        return near.length > 0 ? near.reduce((a, b) => a + b, 0) / near.length : (place.get(n.id) ?? 0);
      };
      const means = new Map(column.map((n) => [n.id, mean(n)]));
      column.sort((a, b) => (means.get(a.id) ?? 0) - (means.get(b.id) ?? 0));
      for (const [i, n] of column.entries()) place.set(n.id, i - (column.length - 1) / 2);
    }
  }
  const tallest = Math.max(1, ...columns.map((c) => c?.length ?? 0));
  const height = tallest * LINE;
  const placed = new Map<number, Placed>();
  for (const n of nodes) {
    const at = layer.get(n.id) ?? 0;
    placed.set(n.id, {
      node: n,
      layer: at,
      x: at * COLUMN + COLUMN / 2,
      y: height / 2 + (place.get(n.id) ?? 0) * LINE,
    });
  }
  return { placed, width: Math.max(1, columns.length) * COLUMN, height };
}
