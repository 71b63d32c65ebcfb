import { type ReactNode, useEffect, useRef } from "react";
import type { ApiError } from "../api";
import { ago, precise } from "../time";
import { CloseIcon } from "./icons";

/** An error of the API, with the trace that tells more and a way to retry. */
export function ErrorNote({ error, retry }: { error: ApiError | undefined; retry?: () => void }) {
  if (!error) return null;
  return (
    <div className="error" role="alert">
      <p>{error.message}</p>
      {error.traceId && (
        <p className="trace">
          Trace <code>{error.traceId}</code>
        </p>
      )}
      {retry && (
        <button type="button" className="quiet" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Skeleton({ rows = 3 }: { rows?: number }) {
  return (
    <div role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <div className="skeleton" key={i}>
          <span className="avatar" />
          <span className="bars">
            <span />
            <span />
          </span>
        </div>
      ))}
    </div>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}

export function Avatar({ name }: { name: string }) {
  const initials = name
    .split(/\s+/)
    .map((w) => w[0] ?? "")
    .join("")
    .slice(0, 2)
    .toUpperCase();
  const hue = [...name.toLowerCase().replace(/\s/g, "")].reduce((h, c) => (h * 31 + c.charCodeAt(0)) % 5, 0);
  return (
    <span className={`avatar hue-${hue}`} aria-hidden="true">
      {initials}
    </span>
  );
}

export function Ago({ iso }: { iso: string }) {
  return (
    <time dateTime={iso} title={precise(iso)}>
      {ago(iso)}
    </time>
  );
}

/** A modal dialog; closing it by any means calls close. */
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={ref} aria-labelledby="dialog-title" onClose={close}>
      <header>
        <h2 id="dialog-title">{title}</h2>
        <button type="button" className="round" aria-label="Close" onClick={() => ref.current?.close()}>
          <CloseIcon />
        </button>
      </header>
      {children}
    </dialog>
  );
}

/** Characters left, counted as the backend counts them: in code points. */
export function Counter({ text, limit }: { text: string; limit: number }) {
  const rest = limit - [...text].length;
  return (
    <output className={rest < 0 ? "counter over" : "counter"} aria-label={rest < 0 ? "Characters too many" : "Characters left"}>
      {rest}
    </output>
  );
}

export function fits(text: string, limit: number): boolean {
  return text.length > 0 && [...text].length <= limit;
}
