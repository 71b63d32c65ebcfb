/** The shapes of the console API. Times are RFC 3339 in UTC; durations carry their unit in the name. */

/** How much the server read for an answer. */
export interface Stats {
  rows_scanned: number;
  bytes_scanned: number;
  segments_scanned: number;
  segments_pruned: number;
  elapsed_ms: number;
}

/** The protocol that an event came by. */
export type Source = "otlp" | "events" | "xray" | "logs" | "metrics";

export interface SourceStatus {
  source: Source;
  events: number;
  last_event_at?: string;
  rejected: number;
  last_rejection?: { at: string; reason: string };
}

/** What came to the X-Ray daemon's port since the start, and what other daemons report of theirs. */
export interface DaemonStatus {
  received: number;
  /** By reason. */
  rejected: Record<string, number>;
  spilled: number;
  reported: { received: number; rejected: number; spilled: number };
}

export interface Status {
  version: string;
  started_at: string;
  environment: string;
  auth: "off" | "keys" | "strict";
  addresses: { http: string; otlp_grpc?: string; otlp_http?: string; xray?: string };
  account: string;
  region: string;
  sources: SourceStatus[];
  events: number;
  disk_bytes: number;
  newest_event_at?: string;
  xray_daemon: DaemonStatus;
}

export interface ServiceRow {
  name: string;
  sources: Source[];
  requests: number;
  errors: number;
  p50_ms: number;
  p95_ms: number;
  requests_series: number[];
  errors_series: number[];
}

export interface ServicesAnswer {
  bucket_ms: number;
  buckets: string[];
  services: ServiceRow[];
  stats: Stats;
}

export interface TraceSummary {
  trace_id: string;
  xray_id: string;
  start: string;
  duration_ms: number;
  root_name: string;
  root_service: string;
  method?: string;
  url?: string;
  status?: number;
  spans: number;
  logs: number;
  error: boolean;
  fault: boolean;
  throttle: boolean;
  partial: boolean;
  sources: Source[];
  services: string[];
}

export interface DurationBin {
  from_ms: number;
  to_ms: number;
  count: number;
}

export interface TracesAnswer {
  traces: TraceSummary[];
  next_cursor?: string;
  /** Traces in the range before the filter. */
  seen: number;
  histogram: DurationBin[];
  stats: Stats;
}

export type FieldType = "string" | "integer" | "float" | "boolean";

export interface Field {
  name: string;
  type: FieldType;
  value: string | number | boolean;
}

export type RowKind = "span" | "segment" | "subsegment" | "span_event" | "link" | "log";
export type RowStatus = "ok" | "error" | "fault" | "throttle";

/** One line of the waterfall. */
export interface TraceRow {
  id: string;
  parent_id?: string;
  kind: RowKind;
  source: Source;
  name: string;
  service: string;
  start: string;
  duration_ms: number;
  span_kind?: string;
  status: RowStatus;
  in_progress?: boolean;
  inferred?: boolean;
  message?: string;
  severity?: string;
  group?: string;
  stream?: string;
  fields: Field[];
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface TraceDocument {
  id: string;
  name: string;
  document: { [key: string]: Json };
}

export interface TraceAnswer {
  trace_id: string;
  xray_id: string;
  start: string;
  end: string;
  duration_ms: number;
  root_name: string;
  root_service: string;
  partial: boolean;
  sources: Source[];
  services: { name: string; spans: number; errors: number }[];
  missing_parents: number;
  /** Rows that the server left out. */
  truncated: number;
  rows: TraceRow[];
  documents: TraceDocument[];
  stats: Stats;
}

export interface LogGroup {
  name: string;
  retention_days?: number;
  stored_bytes: number;
  events: number;
  streams: number;
  created_at: string;
  last_event_at?: string;
}

export interface LogStream {
  name: string;
  created_at: string;
  first_event_at?: string;
  last_event_at?: string;
  last_ingestion_at?: string;
  events: number;
}

export interface LogEvent {
  id: string;
  time: string;
  ingested_at: string;
  stream: string;
  message: string;
  trace_id?: string;
  span_id?: string;
  severity?: string;
  fields: Field[];
}

export interface LogEventsAnswer {
  events: LogEvent[];
  next_cursor?: string;
  histogram: { time: string; count: number }[];
  bucket_ms: number;
  stats: Stats;
}

export interface MapCounts {
  requests: number;
  ok: number;
  errors: number;
  faults: number;
  throttles: number;
  avg_ms: number;
}

export interface MapNode extends MapCounts {
  id: number;
  name: string;
  type: string;
  root: boolean;
  p95_ms?: number;
}

export interface MapEdge extends MapCounts {
  source: number;
  target: number;
  /** The target has a link to the source, as what was received from a queue has: no call. */
  link?: true;
}

export interface MapAnswer {
  nodes: MapNode[];
  edges: MapEdge[];
  stats: Stats;
}

export interface Column {
  name: string;
  type: FieldType;
}

export interface Dataset {
  name: string;
  slug: string;
  kind: "honeycomb" | "xray" | "logs";
  created_at: string;
  last_event_at?: string;
  columns: Column[];
}

export interface Calculation {
  op: string;
  column?: string;
}

export interface QueryFilter {
  column: string;
  op: string;
  value?: string | number | boolean | (string | number)[];
}

export interface QueryOrder {
  column?: string;
  op?: string;
  order: "ascending" | "descending";
}

/** The part of a Honeycomb query that the builder edits. */
export interface QuerySpec {
  calculations: Calculation[];
  filters: QueryFilter[];
  filter_combination: "AND" | "OR";
  breakdowns: string[];
  orders: QueryOrder[];
  limit: number;
}

export interface HeatmapColumn {
  buckets: { min: number; max: number; count: number }[];
}

export type ResultValue = string | number | boolean | null | HeatmapColumn;
export type ResultRow = Record<string, ResultValue | undefined>;

export interface QueryAnswer {
  granularity_s: number;
  from: string;
  to: string;
  calculations: string[];
  breakdowns: string[];
  results: ResultRow[];
  series: { time: string; data: ResultRow }[];
  stats: Stats;
}
