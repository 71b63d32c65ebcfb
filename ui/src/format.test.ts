import { expect, test } from "vitest";
import { ago, bytes, count, duration, epochMs, percent, plural } from "./format";

const plain = (text: string) => text.replaceAll(" ", " ");

test.each([
  [0, "0 ms"],
  [0.0005, "500 ns"],
  [0.85, "850 µs"],
  [1.234, "1.23 ms"],
  [12.34, "12.3 ms"],
  [850, "850 ms"],
  [999.7, "1 s"],
  [1250, "1.25 s"],
  [60_000, "1 m"],
  [125_000, "2 m 5 s"],
  [11_040_000, "3 h 4 m"],
  [172_800_000, "2 d"],
])("duration(%d)", (ms, text) => {
  expect(plain(duration(ms))).toBe(text);
});

test("counts, sizes and shares", () => {
  expect(plain(count(12345))).toBe("12,345");
  expect(plain(count(1_230_000))).toBe("1.23 M");
  expect(plain(plural(1, "span"))).toBe("1 span");
  expect(plain(plural(2, "query", "queries"))).toBe("2 queries");
  expect(plain(bytes(1536))).toBe("1.5 KiB");
  expect(plain(percent(0.0042))).toBe("0.4 %");
});

test("times keep their nanoseconds", () => {
  expect(epochMs("2026-11-23T03:27:42.123456789Z")).toBeCloseTo(Date.parse("2026-11-23T03:27:42Z") + 123.456789, 3);
  expect(plain(ago("2026-11-23T03:00:00Z", Date.parse("2026-11-23T06:10:00Z")))).toBe("3 h ago");
});
