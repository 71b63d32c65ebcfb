import { describe, expect, test } from "vitest";
import { parseInstant, parseRange, rangeOfParam, rangeParam, resolve, shift, zoom } from "./range";

const now = Date.parse("2026-11-23T03:30:00Z");
const at = (text: string) => Date.parse(text);

describe("parseRange", () => {
  test.each([
    ["15m", 900_000],
    ["1h", 3_600_000],
    ["last 3 hours", 10_800_000],
    ["now-1h", 3_600_000],
    ["now-90m..now", 5_400_000],
    ["1.5h", 5_400_000],
    ["7 days", 604_800_000],
  ])("%s is relative", (text, ms) => {
    const range = parseRange(text, now, true);
    expect(range?.kind).toBe("relative");
    expect(range && resolve(range, now)).toEqual({ from: now - ms, to: now });
  });

  test.each([
    ["2026-11-23 01:00..02:00", "2026-11-23T01:00:00Z", "2026-11-23T02:00:00Z"],
    ["2026-11-22T23:00Z to 2026-11-23T01:30:15Z", "2026-11-22T23:00:00Z", "2026-11-23T01:30:15Z"],
    ["2026-11-22", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"],
    ["now-2h..now-1h", "2026-11-23T01:30:00Z", "2026-11-23T02:30:00Z"],
    ["1795399200..1795402800000", "2026-11-23T02:00:00Z", "2026-11-23T03:00:00Z"],
    ["now-1h/h..now", "2026-11-23T02:00:00Z", "2026-11-23T03:30:00Z"],
  ])("%s is absolute", (text, from, to) => {
    expect(parseRange(text, now, true)).toEqual({ kind: "absolute", from: at(from), to: at(to) });
  });

  test("an address of the console gives its range", () => {
    expect(parseRange("http://127.0.0.1:8733/traces?t=15m", now, true)).toMatchObject({
      kind: "relative",
      ms: 900_000,
    });
  });

  test.each(["", "abc", "15 parsecs", "2026-13-40", "2026-11-23 02:00..01:00", "0m"])("%j is refused", (text) => {
    expect(parseRange(text, now, true)).toBeUndefined();
  });
});

test("a range survives the URL", () => {
  for (const text of ["15m", "2026-11-23 01:00..02:00"]) {
    const range = parseRange(text, now, true);
    expect(range).toBeDefined();
    if (range) expect(rangeOfParam(rangeParam(range), now)).toEqual(range);
  }
  expect(rangeOfParam("nonsense", now)).toMatchObject({ text: "1h" });
});

test("parseInstant reads epochs of every unit", () => {
  for (const text of ["1795402800", "1795402800000", "1795402800000000", "1795402800000000000"]) {
    expect(parseInstant(text, now, true)).toBe(at("2026-11-23T03:00:00Z"));
  }
});

test("shift and zoom", () => {
  const hour = rangeOfParam("1h", now);
  expect(shift(hour, -1, now)).toEqual({ kind: "absolute", from: now - 5_400_000, to: now - 1_800_000 });
  expect(zoom(hour, 2, now)).toEqual({ kind: "relative", ms: 7_200_000, text: "2h" });
  expect(zoom(hour, 0.5, now)).toMatchObject({ text: "30m" });
});
