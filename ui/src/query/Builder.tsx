import { Plus, X } from "lucide-react";
import { type ReactNode, useId } from "react";
import type { Column, QueryFilter, QuerySpec } from "../api/contract";
import { calculationName, FILTER_OPS, filterValue, isUnary, OPS, PLAIN_OPS } from "./spec";

/** The clause boxes of a query. */
export function Builder({
  spec,
  columns,
  onChange,
}: {
  spec: QuerySpec;
  columns: Column[];
  onChange: (spec: QuerySpec) => void;
}) {
  const names = useId();
  const set = (change: Partial<QuerySpec>) => onChange({ ...spec, ...change });
  const replace = <T,>(list: T[], at: number, item: T | undefined): T[] =>
    list.flatMap((old, i) => (i === at ? (item === undefined ? [] : [item]) : [old]));
  const column = (name: string) => columns.find((c) => c.name === name);
  const calculable = spec.calculations.filter((c) => c.op !== "HEATMAP");
  const orderName = (o: QuerySpec["orders"][number]) =>
    calculationName({ op: o.op ?? "", column: o.column }).replace(/^\((.*)\)$/, "$1");
  return (
    <div className="clauses">
      <datalist id={names}>
        {columns.map((c) => (
          <option key={c.name} value={c.name}>
            {c.type}
          </option>
        ))}
      </datalist>
      <Clause
        name="SELECT"
        onAdd={() => set({ calculations: [...spec.calculations, { op: "P90", column: "duration_ms" }] })}
        add="Add a calculation"
      >
        {spec.calculations.map((c, i) => (
          <Chip
            key={i}
            label={`Remove ${calculationName(c)}`}
            onRemove={
              spec.calculations.length > 1
                ? () => set({ calculations: replace(spec.calculations, i, undefined) })
                : undefined
            }
          >
            <select
              aria-label="Calculation"
              value={c.op}
              onChange={(event) => {
                const op = event.target.value;
                set({
                  calculations: replace(
                    spec.calculations,
                    i,
                    PLAIN_OPS.includes(op) ? { op } : { op, column: c.column ?? "duration_ms" },
                  ),
                });
              }}
            >
              {(OPS.includes(c.op) ? OPS : [c.op, ...OPS]).map((op) => (
                <option key={op}>{op}</option>
              ))}
            </select>
            {!PLAIN_OPS.includes(c.op) && (
              <ColumnInput
                label={`Column of ${c.op}`}
                list={names}
                value={c.column ?? ""}
                onChange={(name) => set({ calculations: replace(spec.calculations, i, { op: c.op, column: name }) })}
              />
            )}
          </Chip>
        ))}
      </Clause>
      <Clause
        name="WHERE"
        onAdd={() => set({ filters: [...spec.filters, { column: "name", op: "=", value: "" }] })}
        add="Add a filter"
        extra={
          spec.filters.length > 1 && (
            <button
              type="button"
              className="combine"
              title="Whether all filters must hold, or any"
              onClick={() => set({ filter_combination: spec.filter_combination === "AND" ? "OR" : "AND" })}
            >
              {spec.filter_combination}
            </button>
          )
        }
      >
        {spec.filters.map((f, i) => {
          const put = (change: Partial<QueryFilter>) => set({ filters: replace(spec.filters, i, { ...f, ...change }) });
          return (
            <Chip
              key={`${spec.filters.length} ${i}`}
              label={`Remove the filter on ${f.column}`}
              onRemove={() => set({ filters: replace(spec.filters, i, undefined) })}
            >
              <ColumnInput
                label="Column of the filter"
                list={names}
                value={f.column}
                onChange={(name) => put({ column: name })}
              />
              <select
                aria-label="Operator"
                value={f.op}
                onChange={(event) =>
                  put({ op: event.target.value, ...(isUnary(event.target.value) ? { value: undefined } : {}) })
                }
              >
                {FILTER_OPS.map((op) => (
                  <option key={op}>{op}</option>
                ))}
              </select>
              {!isUnary(f.op) && (
                <input
                  className="mono"
                  aria-label="Value"
                  placeholder="value"
                  defaultValue={Array.isArray(f.value) ? f.value.join(", ") : String(f.value ?? "")}
                  size={Math.max(6, Math.min(24, String(f.value ?? "").length + 1))}
                  onChange={(event) => put({ value: filterValue(event.target.value, f.op, column(f.column)) })}
                />
              )}
            </Chip>
          );
        })}
      </Clause>
      <Clause name="GROUP BY" onAdd={() => set({ breakdowns: [...spec.breakdowns, ""] })} add="Add a group">
        {spec.breakdowns.map((b, i) => (
          <Chip
            key={i}
            label={`Remove the group ${b}`}
            onRemove={() => set({ breakdowns: replace(spec.breakdowns, i, undefined) })}
          >
            <ColumnInput
              label="Group by"
              list={names}
              value={b}
              onChange={(name) => set({ breakdowns: replace(spec.breakdowns, i, name) })}
            />
          </Chip>
        ))}
      </Clause>
      <Clause
        name="ORDER BY"
        add="Add an order"
        onAdd={
          spec.orders.length < 3 && calculable[0]
            ? () => set({ orders: [...spec.orders, { ...(calculable[0] ?? { op: "COUNT" }), order: "descending" }] })
            : undefined
        }
      >
        {spec.orders.map((o, i) => (
          <Chip
            key={i}
            label={`Remove the order by ${orderName(o)}`}
            onRemove={() => set({ orders: replace(spec.orders, i, undefined) })}
          >
            <select
              aria-label="Order by"
              value={orderName(o)}
              onChange={(event) => {
                const c = calculable.find((x) => calculationName(x) === event.target.value);
                set({
                  orders: replace(
                    spec.orders,
                    i,
                    c ? { ...c, order: o.order } : { column: event.target.value, order: o.order },
                  ),
                });
              }}
            >
              {[...new Set([orderName(o), ...calculable.map(calculationName), ...spec.breakdowns.filter(Boolean)])].map(
                (name) => (
                  <option key={name}>{name}</option>
                ),
              )}
            </select>
            <select
              aria-label="Direction"
              value={o.order}
              onChange={(event) =>
                set({
                  orders: replace(spec.orders, i, {
                    ...o,
                    order: event.target.value === "ascending" ? "ascending" : "descending",
                  }),
                })
              }
            >
              <option value="descending">desc</option>
              <option value="ascending">asc</option>
            </select>
          </Chip>
        ))}
      </Clause>
      <Clause name="LIMIT">
        <input
          className="limit mono"
          type="number"
          min={1}
          max={1000}
          aria-label="Limit"
          value={spec.limit}
          onChange={(event) => set({ limit: Math.max(1, Math.min(1000, Math.floor(Number(event.target.value)) || 1)) })}
        />
      </Clause>
    </div>
  );
}

function Clause({
  name,
  onAdd,
  add,
  extra,
  children,
}: {
  name: string;
  onAdd?: () => void;
  add?: string;
  extra?: ReactNode;
  children?: ReactNode;
}) {
  return (
    <fieldset className="clause" aria-label={name}>
      <span className="clause-name">
        {name}
        {extra}
      </span>
      <div className="clause-body">
        {children}
        {onAdd && (
          <button type="button" className="btn quiet icon small" aria-label={add} title={add} onClick={onAdd}>
            <Plus size={13} aria-hidden />
          </button>
        )}
      </div>
    </fieldset>
  );
}

function Chip({ label, onRemove, children }: { label: string; onRemove?: () => void; children: ReactNode }) {
  return (
    <span className="chip">
      {children}
      {onRemove && (
        <button type="button" aria-label={label} title="Remove" onClick={onRemove}>
          <X size={12} aria-hidden />
        </button>
      )}
    </span>
  );
}

function ColumnInput({
  label,
  list,
  value,
  onChange,
}: {
  label: string;
  list: string;
  value: string;
  onChange: (name: string) => void;
}) {
  return (
    <input
      className="mono"
      aria-label={label}
      list={list}
      placeholder="column"
      value={value}
      size={Math.max(6, Math.min(28, value.length + 1))}
      spellCheck={false}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}
