import { AlertTriangle, Ban, Check, CircleX, Copy, Gauge, RotateCw, X } from "lucide-react";
import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import type { ApiError } from "../api/client";
import type { FieldType, RowStatus, Source, Stats } from "../api/contract";
import { bytes, count, duration, fullDuration, fullStamp } from "../format";
import { caretLines } from "./caret";
import "./kit.css";

const SOURCE_NAME: Record<Source, string> = {
  otlp: "OTLP",
  events: "Events",
  xray: "X-Ray",
  logs: "Logs",
  metrics: "Metrics",
};
const SOURCE_TITLE: Record<Source, string> = {
  otlp: "came by the OpenTelemetry protocol",
  events: "came by the Honeycomb events API",
  xray: "came as an X-Ray segment document",
  logs: "came by CloudWatch Logs",
  metrics: "came as CloudWatch metrics, or was made of log events",
};

/** The hue of a source: the name of its token. */
export function sourceHue(source: Source): "otlp" | "xray" | "logs" {
  if (source === "metrics") return "logs";
  return source === "events" ? "otlp" : source;
}

/** The protocol that data came by, in its hue. */
export function SourceBadge({ source }: { source: Source }) {
  return (
    <span className={`badge ${source}`} title={SOURCE_TITLE[source]}>
      {SOURCE_NAME[source]}
    </span>
  );
}

/** All protocols of something, in a fixed order. */
export function SourceBadges({ sources }: { sources: Source[] }) {
  const order: Source[] = ["otlp", "events", "xray", "logs", "metrics"];
  return (
    <span className="badges">
      {order
        .filter((s) => sources.includes(s))
        .map((s) => (
          <SourceBadge key={s} source={s} />
        ))}
    </span>
  );
}

const STATUS_TEXT: Record<RowStatus, string> = { ok: "OK", error: "Error", fault: "Fault", throttle: "Throttle" };

/** The icon of a status; nothing for ok. */
export function StatusIcon({ status, size = 13 }: { status: RowStatus; size?: number }) {
  const look = {
    size,
    strokeWidth: 2.25,
    "aria-hidden": true,
    style: { color: `var(--${status}-fg)`, flex: "none" },
  } as const;
  if (status === "fault") return <CircleX {...look} />;
  if (status === "error") return <AlertTriangle {...look} />;
  if (status === "throttle") return <Gauge {...look} />;
  return null;
}

/** A status by icon and word. */
export function StatusBadge({ status, children }: { status: RowStatus; children?: ReactNode }) {
  return (
    <span className={`badge ${status}`}>
      <StatusIcon status={status} size={11} />
      {children ?? STATUS_TEXT[status]}
    </span>
  );
}

/** The worst of the flags that X-Ray keeps. */
export function worst(flags: { error: boolean; fault: boolean; throttle: boolean }): RowStatus {
  if (flags.fault) return "fault";
  if (flags.throttle) return "throttle";
  return flags.error ? "error" : "ok";
}

const TYPE_MARK: Record<FieldType, string> = { string: "abc", integer: "123", float: "1.2", boolean: "t/f" };

/** The type of a field. */
export function TypeMark({ type }: { type: FieldType }) {
  return (
    <span className="kind-mark" title={type}>
      {TYPE_MARK[type]}
    </span>
  );
}

/** A duration with its exact value as the title. */
export function Duration({ ms }: { ms: number }) {
  return (
    <time title={fullDuration(ms)} dateTime={`PT${(ms / 1000).toFixed(9)}S`}>
      {duration(ms)}
    </time>
  );
}

/** A moment, shown as children, with its exact value as the title. */
export function Moment({ at, children }: { at: string; children: ReactNode }) {
  return (
    <time dateTime={at} title={fullStamp(at)}>
      {children}
    </time>
  );
}

/** Copies text; says so for a moment. */
export function CopyButton({
  text,
  label,
  className,
  children,
}: {
  text: string;
  label: string;
  className?: string;
  children?: ReactNode;
}) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1400);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = async () => {
    setDone(await copyText(text));
  };
  const Icon = done ? Check : Copy;
  return (
    <button
      type="button"
      className={className ?? "btn quiet icon small"}
      onClick={copy}
      title={label}
      aria-label={children ? undefined : label}
    >
      <Icon size={13} aria-hidden />
      {children}
      <span className="sr" aria-live="polite">
        {done ? "Copied" : ""}
      </span>
    </button>
  );
}

/** Puts text on the clipboard, also where the page was not served securely; reports whether it worked. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Shell or program text to copy; lines that start with # are dimmed. */
export function Snippet({ text, label }: { text: string; label: string }) {
  const lines = text.split("\n");
  return (
    <div className="snippet">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: long lines scroll, and the keyboard must reach them */}
      <pre tabIndex={0} aria-label={label} role="group">
        {lines.map((line, i) => (
          <span key={i} className={/^\s*(#|\/\/)/.test(line) ? "c" : undefined}>
            {line}
            {i < lines.length - 1 ? "\n" : ""}
          </span>
        ))}
      </pre>
      <CopyButton text={text} label={`Copy ${label}`} className="btn quiet icon small copy" />
    </div>
  );
}

/** Tabs over panels that the caller renders; arrows move between them. */
export function Tabs<T extends string>({
  label,
  tabs,
  value,
  onChange,
  panel,
}: {
  label: string;
  tabs: { id: T; name: ReactNode; n?: number }[];
  value: T;
  onChange: (id: T) => void;
  /** The id of the element that the tabs control. */
  panel: string;
}) {
  const list = useRef<HTMLDivElement>(null);
  const move = (event: React.KeyboardEvent) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    event.stopPropagation();
    const at = tabs.findIndex((t) => t.id === value);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    if (!next) return;
    onChange(next.id);
    list.current?.querySelector<HTMLElement>(`[data-tab="${next.id}"]`)?.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label={label} ref={list} onKeyDown={move}>
      {tabs.map((t) => (
        <button
          key={t.id}
          type="button"
          role="tab"
          data-tab={t.id}
          id={`${panel}-${t.id}`}
          aria-selected={t.id === value}
          aria-controls={panel}
          tabIndex={t.id === value ? 0 : -1}
          onClick={() => onChange(t.id)}
        >
          {t.name}
          {t.n !== undefined && <span className="n">{count(t.n)}</span>}
        </button>
      ))}
    </div>
  );
}

/** What a place says when there is nothing to show. */
export function Empty({
  icon,
  title,
  children,
  actions,
  bad,
}: {
  icon: ReactNode;
  title: string;
  children?: ReactNode;
  actions?: ReactNode;
  bad?: boolean;
}) {
  return (
    <div className="empty" role="status">
      <span className={bad ? "glyph bad" : "glyph"}>{icon}</span>
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {actions && <div className="actions">{actions}</div>}
    </div>
  );
}

/** A request that came to nothing, with its reason and another try. */
export function Problem({
  error,
  retry,
  title = "This could not be read",
}: {
  error: Error;
  retry?: () => void;
  title?: string;
}) {
  return (
    <Empty
      bad
      icon={<Ban size={18} aria-hidden />}
      title={title}
      actions={
        retry && (
          <button type="button" className="btn" onClick={retry}>
            <RotateCw size={13} aria-hidden /> Try again
          </button>
        )
      }
    >
      {error.message}
    </Empty>
  );
}

/** Grey bars in place of n rows. */
export function Bones({ rows = 8 }: { rows?: number }) {
  return (
    <div className="bones" aria-hidden>
      {Array.from({ length: rows }, (_, i) => (
        <div
          key={i}
          style={{ display: "flex", gap: 16, padding: "12px var(--gutter)", borderBottom: "1px solid var(--line)" }}
        >
          <span className="bone" style={{ width: 90 }} />
          <span className="bone" style={{ flex: 1, maxWidth: 200 + ((i * 97) % 260) }} />
          <span className="bone" style={{ width: 60, marginLeft: "auto" }} />
        </div>
      ))}
    </div>
  );
}

/** What an answer cost. */
export function StatsLine({ stats }: { stats?: Stats }) {
  if (!stats) return null;
  const title = `${bytes(stats.bytes_scanned)} in ${count(stats.segments_scanned)} segments; ${count(stats.segments_pruned)} segments skipped`;
  return (
    <span className="stats" title={title}>
      {count(stats.rows_scanned)} rows · {duration(stats.elapsed_ms)}
    </span>
  );
}

/** The refusal of a text: its message, and the text with a caret under the place. */
export function Refusal({ error, text, id }: { error: ApiError; text: string; id?: string }) {
  const lines = error.span ? caretLines(text, error.span) : undefined;
  return (
    <div className="caret" role="alert" id={id}>
      <p>
        <CircleX size={13} aria-hidden />
        <span>{error.message}</span>
      </p>
      {lines && (
        <pre>
          {lines.line}
          {"\n"}
          {lines.caret}
        </pre>
      )}
    </div>
  );
}

/** A text field for a filter: Enter applies it, and a refusal is shown under it at its place. */
export function FilterField({
  value,
  onApply,
  label,
  placeholder,
  icon,
  error,
  children,
}: {
  value: string;
  onApply: (text: string) => void;
  label: string;
  placeholder: string;
  icon: ReactNode;
  error?: ApiError;
  children?: ReactNode;
}) {
  const [draft, setDraft] = useState(value);
  const [seen, setSeen] = useState(value);
  if (seen !== value) {
    setSeen(value);
    setDraft(value);
  }
  const note = useId();
  return (
    <form
      className="grow"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        onApply(draft.trim());
      }}
    >
      <div className={error ? "field bad" : "field"}>
        {icon}
        <input
          className="mono"
          type="search"
          data-query=""
          aria-label={label}
          aria-invalid={error ? true : undefined}
          aria-describedby={error ? note : undefined}
          placeholder={placeholder}
          value={draft}
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          onChange={(event) => setDraft(event.target.value)}
        />
        {draft !== value && <kbd title="Enter applies the filter">↵</kbd>}
        {draft !== "" && (
          <button
            type="button"
            className="btn quiet icon small"
            aria-label="Clear the filter"
            onClick={() => {
              setDraft("");
              onApply("");
            }}
          >
            <X size={13} aria-hidden />
          </button>
        )}
        {children}
      </div>
      {error && <Refusal error={error} text={value} id={note} />}
    </form>
  );
}

/** A modal dialog over the page; Escape and a click outside close it. */
export function Modal({
  label,
  onClose,
  className,
  children,
}: {
  label: string;
  onClose: () => void;
  className?: string;
  children: ReactNode;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes the dialog, by onCancel
    <dialog
      ref={ref}
      className={`modal ${className ?? ""}`}
      aria-label={label}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (event.target === ref.current) onClose();
      }}
    >
      {children}
    </dialog>
  );
}

/** A button, named by its content, with a panel under it that label names; a click outside or Escape closes the panel. */
export function Popover({
  label,
  button,
  className,
  align = "right",
  open,
  onOpen,
  children,
}: {
  label: string;
  button: ReactNode;
  className?: string;
  align?: "left" | "right";
  open: boolean;
  onOpen: (open: boolean) => void;
  children: ReactNode;
}) {
  const root = useRef<HTMLDivElement>(null);
  const trigger = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const outside = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) onOpen(false);
    };
    const onEscape = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      onOpen(false);
      trigger.current?.focus();
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("keydown", onEscape, true);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("keydown", onEscape, true);
    };
  }, [open, onOpen]);
  return (
    <div ref={root} style={{ position: "relative" }}>
      <button
        ref={trigger}
        type="button"
        className={className ?? "btn"}
        aria-haspopup="dialog"
        aria-expanded={open}
        onClick={() => onOpen(!open)}
      >
        {button}
      </button>
      {open && (
        <div
          className="popover"
          role="dialog"
          aria-label={label}
          style={align === "left" ? { left: 0, right: "auto" } : undefined}
        >
          {children}
        </div>
      )}
    </div>
  );
}
