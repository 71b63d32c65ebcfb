import { useRef, useState } from "react";
import { clock, dateMinute, plural } from "../format";
import { usePreferences } from "../shell/preferences";

/** Counts over time as bars. Dragging over them picks a range. */
export function Histogram({
  bins,
  bucketMs,
  from,
  to,
  noun,
  onRange,
}: {
  bins: { time: string; count: number }[];
  bucketMs: number;
  from: number;
  to: number;
  noun: string;
  onRange: (from: number, to: number) => void;
}) {
  const { utc } = usePreferences();
  const area = useRef<HTMLDivElement>(null);
  const [brush, setBrush] = useState<{ a: number; b: number }>();
  const [hover, setHover] = useState<{ at: number; text: string }>();
  const most = Math.max(...bins.map((b) => b.count), 1);
  const total = bins.reduce((n, b) => n + b.count, 0);
  const width = to - from || 1;
  const share = (event: React.PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
  };
  return (
    <figure
      className="histo"
      aria-label={`${plural(total, noun)} over time, at most ${plural(most, noun)} in one bar`}
      role="img"
    >
      <div
        ref={area}
        className="histo-area"
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          setBrush({ a: share(event), b: share(event) });
        }}
        onPointerMove={(event) => {
          const at = share(event);
          if (brush) setBrush({ ...brush, b: at });
          const moment = from + at * width;
          const bin = bins.find(
            (b) => moment >= new Date(b.time).getTime() && moment < new Date(b.time).getTime() + bucketMs,
          );
          setHover(bin && { at, text: `${clock(new Date(bin.time), utc)} · ${plural(bin.count, noun)}` });
        }}
        onPointerLeave={() => setHover(undefined)}
        onPointerUp={() => {
          if (brush && Math.abs(brush.a - brush.b) > 0.01)
            onRange(from + Math.min(brush.a, brush.b) * width, from + Math.max(brush.a, brush.b) * width);
          setBrush(undefined);
        }}
      >
        {bins.map((b) => {
          const left = ((new Date(b.time).getTime() - from) / width) * 100;
          const wide = (bucketMs / width) * 100;
          return (
            b.count > 0 && (
              <i
                key={b.time}
                style={{
                  left: `${left}%`,
                  width: `max(2px, calc(${wide}% - 1px))`,
                  height: `${Math.max(4, (b.count / most) * 100)}%`,
                }}
              />
            )
          );
        })}
        {brush && (
          <b style={{ left: `${Math.min(brush.a, brush.b) * 100}%`, width: `${Math.abs(brush.a - brush.b) * 100}%` }} />
        )}
        {hover && (
          <span
            className="histo-tip"
            style={hover.at < 0.7 ? { left: `${hover.at * 100}%` } : { right: `${100 - hover.at * 100}%` }}
          >
            {hover.text}
          </span>
        )}
      </div>
      <figcaption className="histo-ends">
        <span>{dateMinute(new Date(from), utc)}</span>
        <span>{dateMinute(new Date(to), utc)}</span>
      </figcaption>
    </figure>
  );
}
