import { type PointerEvent, type ReactNode, useState } from "react";
import type { HeatmapColumn } from "../api/contract";
import { clock, count, dateMinute, duration } from "../format";
import { useWidth } from "../kit/useWidth";
import { usePreferences } from "../shell/preferences";
import { ticks } from "../traces/tree";

const HEIGHT = 168;
const LEFT = 62;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 22;

/** A value of a calculation; columns in milliseconds read as durations. */
export function valueText(value: number, column: string | undefined): string {
  return column?.endsWith("_ms") ? duration(value) : count(Number(value.toPrecision(6)));
}

interface Frame {
  from: number;
  to: number;
  low: number;
  high: number;
  column: string | undefined;
  label: string;
  onRange: (from: number, to: number) => void;
}

/** Axes, brush and crosshair; children draw in the plane that x and y map to. */
function Plane({
  frame,
  draw,
  tip,
}: {
  frame: Frame;
  draw: (x: (at: number) => number, y: (value: number) => number) => ReactNode;
  tip: (at: number) => { at: number; rows: { name: string; value: string; hue?: string }[] } | undefined;
}) {
  const { utc } = usePreferences();
  const [ref, width] = useWidth<HTMLDivElement>();
  const [hover, setHover] = useState<number>();
  const [brush, setBrush] = useState<{ a: number; b: number }>();
  const { from, to, low, high } = frame;
  const wide = Math.max(1, width - LEFT - RIGHT);
  const tall = HEIGHT - TOP - BOTTOM;
  const x = (at: number) => LEFT + ((at - from) / (to - from || 1)) * wide;
  const y = (value: number) => TOP + tall - ((value - low) / (high - low || 1)) * tall;
  const moment = (event: PointerEvent<SVGSVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    return from + Math.max(0, Math.min(1, (event.clientX - box.left - LEFT) / wide)) * (to - from);
  };
  const steps = [1, 5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800].map(
    (s) => s * 1000,
  );
  const step = steps.find((s) => (to - from) / s <= Math.max(2, wide / 110)) ?? 604_800_000;
  const times: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) times.push(at);
  const shown = hover === undefined || brush ? undefined : tip(hover);
  return (
    <div className="plane" ref={ref}>
      {width > 0 && (
        <svg
          className="chart axis"
          width={width}
          height={HEIGHT}
          role="img"
          aria-label={frame.label}
          onPointerMove={(event) => {
            const at = moment(event);
            setHover(at);
            if (brush) setBrush({ ...brush, b: at });
          }}
          onPointerLeave={() => setHover(undefined)}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            const at = moment(event);
            setBrush({ a: at, b: at });
          }}
          onPointerUp={() => {
            if (brush && Math.abs(brush.a - brush.b) > (to - from) / 100)
              frame.onRange(Math.min(brush.a, brush.b), Math.max(brush.a, brush.b));
            setBrush(undefined);
          }}
        >
          {ticks(low, high, 4).map((value) => (
            <g key={value}>
              <line x1={LEFT} x2={width - RIGHT} y1={y(value)} y2={y(value)} className="grid" />
              <text x={LEFT - 8} y={y(value) + 4} textAnchor="end">
                {valueText(value, frame.column)}
              </text>
            </g>
          ))}
          {times.map((at) => (
            <text key={at} x={x(at)} y={HEIGHT - 5} textAnchor="middle">
              {step >= 86_400_000
                ? dateMinute(new Date(at), utc).slice(5, 10)
                : clock(new Date(at), utc).slice(0, step < 60_000 ? 8 : 5)}
            </text>
          ))}
          {draw(x, y)}
          {shown && <line x1={x(shown.at)} x2={x(shown.at)} y1={TOP} y2={HEIGHT - BOTTOM} className="cross" />}
          {brush && (
            <rect
              x={Math.min(x(brush.a), x(brush.b))}
              width={Math.abs(x(brush.a) - x(brush.b))}
              y={TOP}
              height={tall}
              className="brush"
            />
          )}
        </svg>
      )}
      {shown && (
        <div
          className="tip-box"
          style={x(shown.at) < width * 0.6 ? { left: x(shown.at) + 10 } : { right: width - x(shown.at) + 10 }}
        >
          <b>{`${dateMinute(new Date(shown.at), utc).slice(5, 10)} ${clock(new Date(shown.at), utc)}`}</b>
          {shown.rows.slice(0, 8).map((row) => (
            <span key={row.name}>
              {row.hue && <i style={{ background: row.hue }} />}
              <span className="cut">{row.name}</span>
              <span className="mono">{row.value}</span>
            </span>
          ))}
          {shown.rows.length > 8 && <span className="dim">and {shown.rows.length - 8} more</span>}
        </div>
      )}
    </div>
  );
}

/** One line of a chart. */
export interface Line {
  key: string;
  name: string;
  hue: string;
  points: { at: number; value: number }[];
}

/** Values over time, one line a group. */
export function LineChart({
  lines,
  column,
  from,
  to,
  name,
  focus,
  onRange,
}: {
  lines: Line[];
  column: string | undefined;
  from: number;
  to: number;
  name: string;
  focus?: string;
  onRange: (from: number, to: number) => void;
}) {
  const values = lines.flatMap((l) => l.points.map((p) => p.value));
  const high = Math.max(...values, 0) * 1.08 || 1;
  const low = Math.min(...values, 0);
  const label = `${name} over time${lines.length > 1 ? ` for ${lines.length} groups` : ""}, from ${valueText(Math.min(...values, high), column)} to ${valueText(Math.max(...values, 0), column)}`;
  return (
    <Plane
      frame={{ from, to, low, high, column, label, onRange }}
      tip={(at) => {
        const all = lines[0]?.points ?? [];
        const near = all.reduce<number | undefined>(
          (best, p) => (best === undefined || Math.abs(p.at - at) < Math.abs(best - at) ? p.at : best),
          undefined,
        );
        if (near === undefined) return undefined;
        const rows = lines
          .flatMap((l) =>
            l.points
              .filter((p) => p.at === near)
              .map((p) => ({ name: l.name, number: p.value, value: valueText(p.value, column), hue: l.hue })),
          )
          .sort((a, b) => b.number - a.number);
        return { at: near, rows };
      }}
      draw={(x, y) =>
        lines.map((line) => {
          const alone = line.points.length === 1;
          return (
            <g key={line.key} opacity={focus === undefined || focus === line.key ? 1 : 0.18}>
              <path
                d={line.points
                  .map((p, i) => `${i === 0 ? "M" : "L"}${x(p.at).toFixed(1)} ${y(p.value).toFixed(1)}`)
                  .join("")}
                fill="none"
                style={{ stroke: line.hue }}
                strokeWidth={1.5}
                strokeLinejoin="round"
              />
              {alone &&
                line.points.map((p) => (
                  <circle key={p.at} cx={x(p.at)} cy={y(p.value)} r={2.5} style={{ fill: line.hue }} />
                ))}
            </g>
          );
        })
      }
    />
  );
}

/** How values are spread over time: the darker a cell, the more of them. */
export function HeatmapChart({
  columns,
  stepMs,
  column,
  from,
  to,
  name,
  onRange,
}: {
  columns: { at: number; cells: HeatmapColumn["buckets"] }[];
  stepMs: number;
  column: string | undefined;
  from: number;
  to: number;
  name: string;
  onRange: (from: number, to: number) => void;
}) {
  const cells = columns.flatMap((c) => c.cells);
  const high = Math.max(...cells.map((c) => c.max), 1);
  const low = Math.min(...cells.map((c) => c.min), high);
  const most = Math.max(...cells.map((c) => c.count), 1);
  const label = `${name} over time, values from ${valueText(low, column)} to ${valueText(high, column)}`;
  return (
    <Plane
      frame={{ from, to, low, high, column, label, onRange }}
      tip={(at) => {
        const here = columns.find((c) => at >= c.at && at < c.at + stepMs);
        if (!here) return undefined;
        const rows = here.cells
          .filter((c) => c.count > 0)
          .sort((a, b) => b.min - a.min)
          .map((c) => ({ name: `${valueText(c.min, column)} – ${valueText(c.max, column)}`, value: count(c.count) }));
        return { at: here.at, rows };
      }}
      draw={(x, y) =>
        columns.map((c) =>
          c.cells.map(
            (cell) =>
              cell.count > 0 && (
                <rect
                  key={`${c.at} ${cell.min}`}
                  x={Math.max(LEFT, x(c.at))}
                  width={Math.max(1, x(Math.min(to, c.at + stepMs)) - Math.max(LEFT, x(c.at)) - 0.5)}
                  y={y(cell.max)}
                  height={Math.max(1, y(cell.min) - y(cell.max) - 0.5)}
                  style={{ fill: `rgb(var(--heat) / ${(0.16 + 0.84 * Math.sqrt(cell.count / most)).toFixed(2)})` }}
                />
              ),
          ),
        )
      }
    />
  );
}
