import { expect, test } from "vitest";
import type { MapEdge, MapNode } from "../api/contract";
import { layoutMap } from "./layout";

const counts = { requests: 1, ok: 1, errors: 0, faults: 0, throttles: 0, avg_ms: 1 };
const node = (id: number, type = "", root = false): MapNode => ({ id, name: `n${id}`, type, root, ...counts });
const edge = (source: number, target: number): MapEdge => ({ source, target, ...counts });

test("a node stands right of all its callers", () => {
  const { placed, width } = layoutMap(
    [node(3), node(1, "client"), node(2, "", true), node(4)],
    [edge(1, 2), edge(2, 3), edge(3, 4), edge(2, 4)],
  );
  expect([1, 2, 3, 4].map((id) => placed.get(id)?.layer)).toEqual([0, 1, 2, 3]);
  expect(width).toBeGreaterThan(placed.get(4)?.x ?? Infinity);
});

test("cycles, loops and unknown ends are survived", () => {
  const { placed } = layoutMap([node(1, "", true), node(2)], [edge(1, 2), edge(2, 1), edge(2, 2), edge(2, 9)]);
  expect(placed.get(1)?.layer).toBe(0);
  expect(placed.get(2)?.layer).toBe(1);
});

test("a link places nodes as a call does", () => {
  const { placed } = layoutMap(
    [node(1, "", true), node(2), node(3)],
    [edge(1, 2), { ...edge(2, 3), link: true }, { ...edge(1, 2), link: true }],
  );
  expect([1, 2, 3].map((id) => placed.get(id)?.layer)).toEqual([0, 1, 2]);
});

test("no two nodes share a place", () => {
  const nodes = [1, 2, 3, 4, 5].map((id) => node(id));
  const { placed } = layoutMap(nodes, [edge(1, 3), edge(2, 3), edge(1, 4), edge(2, 5)]);
  const places = [...placed.values()].map((p) => `${p.x} ${p.y}`);
  expect(new Set(places).size).toBe(5);
});
