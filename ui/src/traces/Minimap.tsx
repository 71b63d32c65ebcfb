import { useEffect, useRef, useState } from "react";
import { sourceHue } from "../kit";
import { usePreferences } from "../shell/preferences";
import { isMark, type Tree } from "./tree";

const HEIGHT = 40;
const LEVELS = 6;

/** The whole trace in small. Dragging over it sets the stretch that the time line shows; a double click shows all of it. */
export function Minimap({
  tree,
  view,
  onView,
}: {
  tree: Tree;
  view: { from: number; to: number };
  onView: (view: { from: number; to: number } | undefined) => void;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { theme } = usePreferences();
  const [width, setWidth] = useState(0);
  const [brush, setBrush] = useState<{ a: number; b: number }>();

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const watch = new ResizeObserver(([box]) => setWidth(box?.contentRect.width ?? 0));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the tokens that are read below change with the theme
  useEffect(() => {
    const element = canvas.current;
    const pen = element?.getContext("2d");
    if (!element || !pen || width === 0) return;
    const ratio = devicePixelRatio || 1;
    element.width = width * ratio;
    element.height = HEIGHT * ratio;
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const hue = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const colours: Record<string, string> = {};
    for (const name of ["otlp", "xray", "logs", "fault", "error", "throttle"]) colours[name] = hue(name);
    const x = (at: number) => (at / tree.length) * width;
    const pitch = (HEIGHT - 8) / LEVELS;
    // Troubles last, so that nothing covers them.
    for (const troubled of [false, true]) {
      for (const node of tree.nodes) {
        const status = node.row.status;
        if ((status !== "ok") !== troubled) continue;
        const y = 4 + Math.min(node.depth, LEVELS - 1) * pitch;
        if (isMark(node.row)) {
          pen.fillStyle = colours[sourceHue(node.row.source)] ?? "";
          pen.globalAlpha = 0.9;
          pen.fillRect(x(node.from), y, 1.5, pitch - 2);
          continue;
        }
        pen.globalAlpha = troubled ? 1 : 0.72;
        pen.fillStyle = colours[troubled ? status : sourceHue(node.row.source)] ?? "";
        pen.fillRect(x(node.from), y, Math.max(1.5, x(node.to) - x(node.from)), pitch - 2);
      }
    }
  }, [tree, width, theme]);

  const share = (at: number) => `${Math.max(0, Math.min(100, (at / tree.length) * 100))}%`;
  const at = (event: React.PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * tree.length;
  };
  const shown = brush ? { from: Math.min(brush.a, brush.b), to: Math.max(brush.a, brush.b) } : view;
  const whole = shown.from <= 0 && shown.to >= tree.length;
  return (
    <div
      className="minimap"
      aria-hidden
      title="Drag to zoom in; double-click for the whole trace"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        const here = at(event);
        setBrush({ a: here, b: here });
      }}
      onPointerMove={(event) => brush && setBrush({ ...brush, b: at(event) })}
      onPointerUp={() => {
        if (brush && Math.abs(brush.a - brush.b) > tree.length / 200)
          onView({ from: Math.min(brush.a, brush.b), to: Math.max(brush.a, brush.b) });
        setBrush(undefined);
      }}
      onDoubleClick={() => onView(undefined)}
    >
      <canvas ref={canvas} height={HEIGHT} />
      {!whole && (
        <>
          <i className="shade" style={{ left: 0, width: share(shown.from) }} />
          <i className="shade" style={{ left: share(shown.to), right: 0 }} />
          <i className="edge" style={{ left: share(shown.from) }} />
          <i className="edge" style={{ left: share(shown.to) }} />
        </>
      )}
    </div>
  );
}
