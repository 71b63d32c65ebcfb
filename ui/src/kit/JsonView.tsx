import { type ReactNode, useEffect, useRef } from "react";
import type { Json } from "../api/contract";
import { CopyButton } from ".";

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null)/g;

function colour(line: string): ReactNode[] {
  const out: ReactNode[] = [];
  let done = 0;
  for (const match of line.matchAll(TOKEN)) {
    if (match.index > done) out.push(line.slice(done, match.index));
    const kind = match[1] ? (match[2] ? "k" : "s") : match[3] ? "n" : "b";
    out.push(
      <span key={match.index} className={kind}>
        {match[1] ?? match[0]}
      </span>,
    );
    if (match[2]) out.push(match[2]);
    done = match.index + match[0].length;
  }
  out.push(line.slice(done));
  return out;
}

/** A JSON value in full, indented. The line that gives the id of mark is set off and brought into view. */
export function JsonView({ value, label, mark }: { value: Json; label: string; mark?: string }) {
  const text = JSON.stringify(value, null, 2);
  const hit = useRef<HTMLSpanElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new mark is the occasion
  useEffect(() => {
    hit.current?.scrollIntoView({ block: "center" });
  }, [mark]);
  return (
    <div style={{ position: "relative" }}>
      <CopyButton text={text} label={`Copy ${label}`} className="btn quiet icon small json-copy" />
      <pre className="json">
        {text.split("\n").map((line, i) => {
          const marked = mark !== undefined && line.trim().replace(/,$/, "") === `"id": ${JSON.stringify(mark)}`;
          return (
            <span key={i} ref={marked ? hit : undefined} className={marked ? "hit" : undefined}>
              {colour(line)}
              {"\n"}
            </span>
          );
        })}
      </pre>
    </div>
  );
}
