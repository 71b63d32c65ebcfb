import type { Calculation, Column, QueryFilter, QueryOrder, QuerySpec, ResultRow } from "../api/contract";

/** Calculations without a column. */
export const PLAIN_OPS = ["COUNT", "CONCURRENCY"];
/** All calculations offered. */
export const OPS = [
  "COUNT",
  "COUNT_DISTINCT",
  "SUM",
  "AVG",
  "MAX",
  "MIN",
  "P50",
  "P75",
  "P90",
  "P95",
  "P99",
  "HEATMAP",
  "RATE_AVG",
  "RATE_SUM",
  "RATE_MAX",
  "CONCURRENCY",
];
/** Filter operators, those without a value last. */
export const FILTER_OPS = [
  "=",
  "!=",
  ">",
  ">=",
  "<",
  "<=",
  "contains",
  "does-not-contain",
  "starts-with",
  "does-not-start-with",
  "in",
  "not-in",
  "exists",
  "does-not-exist",
];

/** Reports whether an operator stands alone. */
export function isUnary(op: string): boolean {
  return op === "exists" || op === "does-not-exist";
}

/** The query of a page that was opened without one. */
export const DEFAULT_SPEC: QuerySpec = {
  calculations: [{ op: "COUNT" }, { op: "HEATMAP", column: "duration_ms" }],
  filters: [],
  filter_combination: "AND",
  breakdowns: [],
  orders: [],
  limit: 100,
};

function list<T>(value: unknown, keep: (item: Record<string, unknown>) => T | undefined): T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.flatMap((item) => {
    const kept = typeof item === "object" && item !== null ? keep(item as Record<string, unknown>) : undefined;
    return kept === undefined ? [] : [kept];
  });
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function scalar(value: unknown): QueryFilter["value"] {
  if (Array.isArray(value)) return value.filter((v) => typeof v === "string" || typeof v === "number");
  return ["string", "number", "boolean"].includes(typeof value) ? (value as string | number | boolean) : undefined;
}

/** Reads a query from the URL; whatever is missing or broken takes its default. */
export function parseSpec(source: string | undefined): QuerySpec {
  if (!source) return DEFAULT_SPEC;
  let raw: Record<string, unknown>;
  try {
    const value: unknown = JSON.parse(source);
    if (typeof value !== "object" || value === null) return DEFAULT_SPEC;
    raw = value as Record<string, unknown>;
  } catch {
    return DEFAULT_SPEC;
  }
  const calculations = list<Calculation>(raw.calculations, (c) => {
    const op = text(c.op);
    return op ? { op, ...(text(c.column) ? { column: text(c.column) } : {}) } : undefined;
  });
  const filters = list<QueryFilter>(raw.filters, (f) => {
    const column = text(f.column);
    const op = text(f.op);
    return column && op ? { column, op, ...(isUnary(op) ? {} : { value: scalar(f.value) }) } : undefined;
  });
  const orders = list<QueryOrder>(raw.orders, (o) => {
    const named = { ...(text(o.op) ? { op: text(o.op) } : {}), ...(text(o.column) ? { column: text(o.column) } : {}) };
    return named.op || named.column
      ? { ...named, order: o.order === "ascending" ? "ascending" : "descending" }
      : undefined;
  });
  return {
    calculations: calculations && calculations.length > 0 ? calculations : DEFAULT_SPEC.calculations,
    filters: filters ?? [],
    filter_combination: raw.filter_combination === "OR" ? "OR" : "AND",
    breakdowns: Array.isArray(raw.breakdowns) ? raw.breakdowns.filter((b): b is string => typeof b === "string") : [],
    orders: orders ?? [],
    limit: typeof raw.limit === "number" && raw.limit > 0 ? Math.min(1000, Math.floor(raw.limit)) : DEFAULT_SPEC.limit,
  };
}

/** The form of a query in the URL; nothing for the default. */
export function specParam(spec: QuerySpec): string | undefined {
  const body: Partial<QuerySpec> = { calculations: spec.calculations };
  if (spec.filters.length > 0) body.filters = spec.filters;
  if (spec.filters.length > 1 && spec.filter_combination === "OR") body.filter_combination = "OR";
  if (spec.breakdowns.length > 0) body.breakdowns = spec.breakdowns;
  if (spec.orders.length > 0) body.orders = spec.orders;
  if (spec.limit !== DEFAULT_SPEC.limit) body.limit = spec.limit;
  const out = JSON.stringify(body);
  return out === JSON.stringify({ calculations: DEFAULT_SPEC.calculations }) ? undefined : out;
}

/** The name of a calculation, as results carry it. */
export function calculationName(c: Calculation): string {
  return c.column ? `${c.op}(${c.column})` : c.op;
}

/** What someone typed as a filter value, in the type that the column wants. */
export function filterValue(input: string, op: string, column: Column | undefined): QueryFilter["value"] {
  const one = (part: string): string | number => {
    const number = part.trim() !== "" && Number.isFinite(Number(part));
    return number && column?.type !== "string" ? Number(part) : part;
  };
  if (op === "in" || op === "not-in") return input.split(",").map((part) => one(part.trim()));
  if (column?.type === "boolean" && (input === "true" || input === "false")) return input === "true";
  return one(input);
}

/** The key that tells the groups of a result apart. */
export function groupKey(row: ResultRow, breakdowns: string[]): string {
  return JSON.stringify(breakdowns.map((b) => row[b] ?? null));
}
