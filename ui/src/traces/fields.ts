import type { Field, Json, TraceDocument, TraceRow } from "../api/contract";
import type { Node } from "./tree";

function quote(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

const KEYWORD: Record<string, string> = {
  "http.status": "http.status",
  "http.status_code": "http.status",
  "http.response.status_code": "http.status",
  "http.method": "http.method",
  "http.request.method": "http.method",
  "http.url": "http.url",
  "url.full": "http.url",
  "http.useragent": "http.useragent",
  "user_agent.original": "http.useragent",
  "http.clientip": "http.clientip",
  "http.client_ip": "http.clientip",
  "client.address": "http.clientip",
  user: "user",
};

/** The X-Ray filter expression for the traces that share a field, where the language can say it. */
export function traceFilter(field: Field): string | undefined {
  const value = field.type === "string" ? quote(String(field.value)) : String(field.value);
  if (field.name === "service.name") return `service(${quote(String(field.value))})`;
  const keyword = KEYWORD[field.name];
  if (keyword) return `${keyword} = ${value}`;
  const annotation = /^annotations?[.[]([^\]]+)\]?$/.exec(field.name)?.[1];
  if (annotation)
    return /^\w+$/.test(annotation) ? `annotation.${annotation} = ${value}` : `annotation[${annotation}] = ${value}`;
  return undefined;
}

/** An exception with where it was thrown. */
export interface Exception {
  type: string;
  message: string;
  stack: string;
}

function ofFields(row: TraceRow): Exception | undefined {
  const text = (name: string) => {
    const field = row.fields.find((f) => f.name === name);
    return field ? String(field.value) : "";
  };
  const type = text("exception.type");
  const message = text("exception.message");
  return type || message ? { type, message, stack: text("exception.stacktrace") } : undefined;
}

/** The part of a document with an id: the segment itself or one of its subsegments. */
export function partOf(document: { [key: string]: Json }, id: string): { [key: string]: Json } | undefined {
  if (document.id === id) return document;
  if (!Array.isArray(document.subsegments)) return undefined;
  for (const sub of document.subsegments) {
    if (sub === null || typeof sub !== "object" || Array.isArray(sub)) continue;
    const found = partOf(sub, id);
    if (found) return found;
  }
  return undefined;
}

function isObject(value: Json | undefined): value is { [key: string]: Json } {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function ofCause(part: { [key: string]: Json } | undefined): Exception[] {
  const cause = part?.cause;
  if (!isObject(cause) || !Array.isArray(cause.exceptions)) return [];
  return cause.exceptions.filter(isObject).map((e) => ({
    type: String(e.type ?? ""),
    message: String(e.message ?? ""),
    stack: (Array.isArray(e.stack) ? e.stack : [])
      .filter(isObject)
      .map((frame) => `  at ${frame.label ?? "?"} (${frame.path ?? "?"}:${frame.line ?? "?"})`)
      .join("\n"),
  }));
}

/** The document that holds a row. */
export function documentOf(row: TraceRow, documents: TraceDocument[]): TraceDocument | undefined {
  return documents.find((d) => d.id === row.id) ?? documents.find((d) => partOf(d.document, row.id) !== undefined);
}

/** The exceptions of a row: in its own fields, in its span events, or in the cause of its segment document; each once. */
export function exceptionsOf(node: Node, documents: TraceDocument[]): Exception[] {
  const { row } = node;
  const found = [
    ofFields(row),
    ...node.children.filter((c) => c.row.kind === "span_event").map((c) => ofFields(c.row)),
  ].filter((e) => e !== undefined);
  if (row.kind === "segment" || row.kind === "subsegment" || found.length === 0) {
    const document = documentOf(row, documents);
    if (document) found.push(...ofCause(partOf(document.document, row.id)));
  }
  const seen = new Set<string>();
  return found.filter((e) => {
    const key = `${e.type}\n${e.message}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
