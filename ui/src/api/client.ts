import type { SourceStatus } from "./contract";

/** A refusal of the server, or a failure to reach it (code "Unreachable"). */
export class ApiError extends Error {
  readonly code: string;
  readonly status: number;
  /** Byte offsets into the text that was refused. */
  readonly span?: { start: number; end: number };

  constructor(status: number, code: string, message: string, span?: { start: number; end: number }) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.span = span;
  }
}

/** Query parameters; absent and empty ones are not sent. */
export type Params = Record<string, string | number | undefined>;

async function send<T>(path: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/api/${path}`, init);
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ApiError(0, "Unreachable", "The server does not answer. It may be stopped or restarting.");
  }
  const text = await response.text();
  let body: unknown;
  try {
    body = text === "" ? {} : JSON.parse(text);
  } catch {
    throw new ApiError(
      response.status,
      "NotJSON",
      `The server answered ${response.status} with something else than JSON.`,
    );
  }
  if (response.ok) return body as T;
  const refusal = (body as { error?: { code?: string; message?: string; span?: { start: number; end: number } } })
    .error;
  throw new ApiError(
    response.status,
    refusal?.code ?? `HTTP${response.status}`,
    refusal?.message ?? `The server answered ${response.status}.`,
    refusal?.span,
  );
}

/** Builds a query string from params. */
export function search(params: Params): string {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") out.set(name, String(value));
  }
  const text = out.toString();
  return text === "" ? "" : `?${text}`;
}

/** Reads /api/path with params. */
export function get<T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<T> {
  return send<T>(path + search(params), { headers: { accept: "application/json" }, signal });
}

/** Posts body as JSON to /api/path. */
export function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return send<T>(path, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

/**
 * Calls onIngest whenever the server says that events arrived, and onState when the stream opens or breaks.
 * The browser reconnects by itself; the returned function closes the stream.
 */
export function listen(onIngest: (sources: SourceStatus[]) => void, onState: (open: boolean) => void): () => void {
  const stream = new EventSource("/api/events");
  stream.addEventListener("open", () => onState(true));
  stream.addEventListener("error", () => onState(false));
  stream.addEventListener("ingest", (event) => {
    try {
      onIngest((JSON.parse(event.data as string) as { sources: SourceStatus[] }).sources);
    } catch {
      // A broken frame says nothing; the next one or the poll will.
    }
  });
  return () => stream.close();
}
