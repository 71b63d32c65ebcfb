import { describe, expect, test } from "vitest";
import { calculationName, DEFAULT_SPEC, filterValue, groupKey, parseSpec, specParam } from "./spec";

describe("a query in the URL", () => {
  test("comes back as it was", () => {
    const spec = {
      calculations: [{ op: "P90", column: "duration_ms" }],
      filters: [
        { column: "name", op: "=", value: "home" },
        { column: "error", op: "exists" },
      ],
      filter_combination: "OR" as const,
      breakdowns: ["name"],
      orders: [{ op: "COUNT", order: "ascending" as const }],
      limit: 10,
    };
    expect(parseSpec(specParam(spec))).toEqual(spec);
  });
  test("is absent for the default", () => {
    expect(specParam(DEFAULT_SPEC)).toBeUndefined();
    expect(parseSpec(undefined)).toEqual(DEFAULT_SPEC);
  });
  test.each(["{", "7", "null", '{"calculations":[1],"filters":"x"}'])("is the default for %s", (text) => {
    expect(parseSpec(text)).toEqual(DEFAULT_SPEC);
  });
});

test("values take the type of the column", () => {
  expect(filterValue("500", "=", { name: "status", type: "integer" })).toBe(500);
  expect(filterValue("500", "=", { name: "code", type: "string" })).toBe("500");
  expect(filterValue("true", "=", { name: "error", type: "boolean" })).toBe(true);
  expect(filterValue("a, b", "in", undefined)).toEqual(["a", "b"]);
});

test("names and keys", () => {
  expect(calculationName({ op: "P90", column: "duration_ms" })).toBe("P90(duration_ms)");
  expect(calculationName({ op: "COUNT" })).toBe("COUNT");
  expect(groupKey({ name: "a", COUNT: 1 }, ["name", "none"])).toBe('["a",null]');
});
