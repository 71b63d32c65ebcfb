// The backend's API: its types, its address, and requests that start a trace.

export interface Activity {
  uuid: string;
  handle: string;
  display_name?: string;
  message: string;
  created_at: string;
  expires_at?: string;
  likes_count?: number;
  replies_count?: number;
  reposts_count?: number;
  reply_to_activity_uuid?: string;
  replies?: Activity[];
}

export interface Message {
  uuid: string;
  handle: string;
  display_name: string;
  message: string;
  created_at: string;
}

export type MessageGroup = Omit<Message, "message">;

/** A refused or failed request; traceId finds it in the traces and logs. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly traceId: string,
    readonly status: number,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

const sentences: Record<string, string> = {
  message_blank: "Write something first.",
  message_exceed_max_chars: "That is too long.",
  ttl_blank: "Choose how long the crud should stay.",
  search_term_blank: "Type what to search for.",
  user_handle_blank: "Who are you? The handle is missing.",
  user_sender_handle_blank: "The sender is missing.",
  user_reciever_handle_blank: "Choose who should get the message.",
  activity_not_found: "This crud does not exist, or it has expired.",
  body_too_large: "That is far too long.",
  internal_server_error: "The server failed. Its traces and logs know why.",
};

const built = import.meta.env.VITE_BACKEND_URL || import.meta.env.REACT_APP_BACKEND_URL || "http://localhost:4567";

let backend: Promise<string> | undefined;

// One build serves any backend: the server of the pages tells where it is.
// The development server has no such file and answers with a page instead.
function backendURL(): Promise<string> {
  backend ??= fetch("/config.json")
    .then((r) => r.json())
    .then((c: { backend_url?: string }) => c.backend_url || built)
    .catch(() => built);
  return backend;
}

function hex(bytes: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (b) => b.toString(16).padStart(2, "0")).join("");
}

// X-Ray wants the first eight digits of a trace id to be the time.
function newTraceId(): string {
  return Math.floor(Date.now() / 1000).toString(16).padStart(8, "0") + hex(12);
}

async function request<T>(path: string, init: RequestInit = {}): Promise<T> {
  const traceId = newTraceId();
  const headers = new Headers(init.headers);
  headers.set("Accept", "application/json");
  headers.set("traceparent", `00-${traceId}-${hex(8)}-01`);
  const base = await backendURL();
  let response: Response;
  try {
    response = await fetch(base + path, { ...init, headers });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ApiError(`The backend at ${base} does not answer.`, traceId, 0);
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body as T;
  const codes = Array.isArray(body) ? body.map(String) : [];
  const text = codes.map((c) => sentences[c] ?? c).join(" ") || `The backend answered ${response.status}.`;
  throw new ApiError(text, traceId, response.status);
}

export function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return request<T>(path, { signal });
}

export function post<T>(path: string, body: object): Promise<T> {
  return request<T>(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}
