import { expect, test } from "vitest";
import { exceptionsOf, partOf, traceFilter } from "./fields";
import { buildTree } from "./tree";

test.each([
  [{ name: "service.name", type: "string", value: "web" }, 'service("web")'],
  [{ name: "http.response.status_code", type: "integer", value: 500 }, "http.status = 500"],
  [{ name: "annotation.user_id", type: "string", value: 'a"b\\' }, 'annotation.user_id = "a\\"b\\\\"'],
  [{ name: "annotation.app.tier", type: "boolean", value: true }, "annotation[app.tier] = true"],
  [{ name: "db.statement", type: "string", value: "SELECT 1" }, undefined],
] as const)("%j", (field, filter) => {
  expect(traceFilter(field)).toBe(filter);
});

const cause = {
  exceptions: [{ type: "ValueError", message: "no", stack: [{ path: "app.py", line: 3, label: "home" }] }],
};
const document = { id: "s", subsegments: [{ id: "a", subsegments: [{ id: "b", cause }] }] };

test("a part of a document is found at any depth", () => {
  expect(partOf(document, "b")?.cause).toEqual(cause);
  expect(partOf(document, "c")).toBeUndefined();
});

test("the cause of a subsegment is its exception", () => {
  const tree = buildTree({
    start: "2026-11-23T03:00:00Z",
    duration_ms: 1,
    rows: [
      {
        id: "b",
        kind: "subsegment",
        source: "xray",
        name: "b",
        service: "s",
        start: "2026-11-23T03:00:00Z",
        duration_ms: 1,
        status: "fault",
        fields: [],
      },
    ],
  });
  const node = tree.nodes[0];
  expect(node && exceptionsOf(node, [{ id: "s", name: "s", document }])).toEqual([
    { type: "ValueError", message: "no", stack: "  at home (app.py:3)" },
  ]);
});
