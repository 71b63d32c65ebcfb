import { expect, test } from "vitest";
import { refusals } from "./refusals";

const reported = { received: 0, rejected: 0, spilled: 0 };
const daemon = { received: 9, rejected: { "no newline": 1, "bad header": 2, "bad document": 0 }, spilled: 4, reported };

test("refusals say the last reason and what became of datagrams", () => {
  const xray = { source: "xray" as const, events: 1, rejected: 7, last_rejection: { at: "", reason: "bad header" } };
  expect(refusals(xray, daemon)).toBe("Last: bad header. Datagrams: too many at once 4, bad header 2, no newline 1");
  expect(refusals({ ...xray, source: "otlp" }, daemon)).toBe("Last: bad header");
  expect(refusals({ source: "xray", events: 1, rejected: 0 }, { ...daemon, rejected: {}, spilled: 0 })).toBeUndefined();
});
