import { describe, expect, test } from "vitest";
import type { TraceRow } from "../api/contract";
import { buildTree, criticalPath, isTrouble, matches, shortHash, ticks, visibleNodes } from "./tree";

const start = "2026-11-23T03:00:00.000000000Z";

function row(
  id: string,
  parent: string | undefined,
  from: number,
  length: number,
  more: Partial<TraceRow> = {},
): TraceRow {
  return {
    id,
    parent_id: parent,
    kind: "span",
    source: "otlp",
    name: id,
    service: "web",
    status: "ok",
    fields: [],
    start: `2026-11-23T03:00:00.${String(from).padStart(3, "0")}000000Z`,
    duration_ms: length,
    ...more,
  };
}

const rows = [
  row("root", undefined, 0, 100),
  row("db", "root", 50, 30),
  row("auth", "root", 10, 20),
  row("key", "auth", 12, 10),
  row("line", "db", 55, 0, { kind: "log", message: "slow query", severity: "ERROR" }),
  row("lost", "gone", 20, 10),
  row("stray", "gone", 70, 0, { kind: "log" }),
];
const tree = buildTree({ start, duration_ms: 100, rows });
const names = (nodes: { row: TraceRow }[]) => nodes.map((n) => n.row.id);
const all = { shut: new Set<string>(), logs: false, events: false };

describe("buildTree", () => {
  test("is depth first, siblings by time, orphans last, stray logs under the root", () => {
    expect(names(tree.nodes)).toEqual(["root", "auth", "key", "db", "line", "stray", "lost"]);
    expect(tree.nodes.map((n) => n.depth)).toEqual([0, 1, 2, 1, 2, 1, 0]);
    expect(tree.byId.get("root")?.size).toBe(5);
    expect(tree.byId.get("db")).toMatchObject({ position: 2, siblings: 3, from: 50, to: 80 });
  });
  test("survives a cycle", () => {
    const loop = buildTree({ start, duration_ms: 1, rows: [row("a", "b", 0, 1), row("b", "a", 0, 1)] });
    expect(loop.nodes).toHaveLength(2);
  });
  test("is empty for no rows", () => {
    expect(buildTree({ start, duration_ms: 0, rows: [] })).toMatchObject({ nodes: [], length: 1 });
  });
});

test("visibleNodes leaves out closed subtrees and hidden kinds", () => {
  expect(names(visibleNodes(tree, { ...all, shut: new Set(["auth"]) }))).toEqual([
    "root",
    "auth",
    "db",
    "line",
    "stray",
    "lost",
  ]);
  expect(names(visibleNodes(tree, { ...all, logs: true }))).toEqual(["root", "auth", "key", "db", "lost"]);
});

test("criticalPath goes back from the end by the child that ended last", () => {
  const path = criticalPath(tree);
  expect(path.get("root")).toEqual([
    [80, 100],
    [30, 50],
    [0, 10],
  ]);
  expect(path.get("auth")).toEqual([
    [22, 30],
    [10, 12],
  ]);
  expect(path.get("key")).toEqual([[12, 22]]);
  expect(path.has("lost")).toBe(false);
  const total = [...path.values()].flat().reduce((n, [from, to]) => n + to - from, 0);
  expect(total).toBe(100);
});

test("matches and troubles", () => {
  const line = tree.byId.get("line")?.row;
  expect(line && matches(line, "slow")).toBe(true);
  expect(line && matches(line, "")).toBe(false);
  expect(line && isTrouble(line)).toBe(true);
  expect(isTrouble(row("x", undefined, 0, 1))).toBe(false);
});

test("ticks are round", () => {
  expect(ticks(0, 100, 5)).toEqual([0, 20, 40, 60, 80, 100]);
  expect(ticks(13, 27, 4)).toEqual([15, 20, 25]);
  expect(ticks(5, 5, 4)).toEqual([5]);
});

test("shortHash tells ids apart", () => {
  expect(new Set(["53995c3f42cd8ad8", "53995c3f42cd8ad9", ""].map(shortHash)).size).toBe(3);
});
