import { expect, test } from "vitest";
import { caretLines } from "./caret";

test.each([
  ["duration >> 1", { start: 10, end: 11 }, "duration >> 1", "          ^"],
  ['service("ü") |', { start: 14, end: 15 }, 'service("ü") |', "             ^"],
  ["a AND", { start: 9, end: 9 }, "a AND", "     ^"],
  ["one\ntwo three", { start: 8, end: 13 }, "two three", "    ^^^^^"],
  ["", { start: 0, end: 0 }, "", "^"],
])("%j at %j", (text, span, line, caret) => {
  expect(caretLines(text, span)).toEqual({ line, caret });
});
