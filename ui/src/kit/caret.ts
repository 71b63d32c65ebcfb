/**
 * The line of text that holds a span of byte offsets, and a line of carets to print under it. Offsets count UTF-8 bytes, as the
 * server does; an empty span, or one past the end, gets one caret.
 */
export function caretLines(text: string, span: { start: number; end: number }): { line: string; caret: string } {
  const raw = new TextEncoder().encode(text);
  const decode = (from: number, to: number) => new TextDecoder().decode(raw.slice(from, to));
  const start = Math.max(0, Math.min(span.start, raw.length));
  const end = Math.max(start, Math.min(span.end, raw.length));
  const newline = 10;
  let lineStart = start;
  while (lineStart > 0 && raw[lineStart - 1] !== newline) lineStart--;
  let lineEnd = start;
  while (lineEnd < raw.length && raw[lineEnd] !== newline) lineEnd++;
  const lead = [...decode(lineStart, start)].length;
  const width = Math.max(1, [...decode(start, Math.min(end, lineEnd))].length);
  return { line: decode(lineStart, lineEnd), caret: " ".repeat(lead) + "^".repeat(width) };
}
