import { keepPreviousData, type UseQueryResult, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { type Range, rangeOfParam, rangeParam, resolve } from "./range";

/** The ends of a range as the API takes them. */
export interface Ends {
  from: number;
  to: number;
}

/** The range of the URL and how to change it. */
export function useRange(): {
  range: Range;
  text: string;
  setRange: (range: Range | string, replace?: boolean) => void;
} {
  const { t } = useSearch({ strict: false }) as { t?: string };
  const navigate = useNavigate();
  const range = useMemo(() => rangeOfParam(t, Date.now()), [t]);
  const setRange = useCallback(
    (next: Range | string, replace = false) => {
      const text = typeof next === "string" ? next : rangeParam(next);
      void navigate({ to: ".", search: (old: Record<string, unknown>) => ({ ...old, t: text }), replace });
    },
    [navigate],
  );
  return { range, text: rangeParam(range), setRange };
}

/** Reads something over the range of the URL. The ends are taken anew at each read, so a relative range moves along. */
export function useRanged<T>(
  key: unknown[],
  read: (ends: Ends, signal: AbortSignal) => Promise<T>,
  enabled = true,
): UseQueryResult<{ ends: Ends; answer: T }> {
  const { range, text } = useRange();
  return useQuery({
    queryKey: [...key, text],
    enabled,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const { from, to } = resolve(range, Date.now());
      const ends = { from: Math.floor(from), to: Math.ceil(to) };
      return { ends, answer: await read(ends, signal) };
    },
  });
}
