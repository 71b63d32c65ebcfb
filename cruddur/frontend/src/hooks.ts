import { useCallback, useEffect, useState } from "react";
import { ApiError, get } from "./api";

export interface Load<T> {
  data: T | undefined;
  error: ApiError | undefined;
  loading: boolean;
  reload: () => void;
  change: (f: (data: T) => T) => void;
}

/** Loads a path of the API, again when it changes or on reload. */
export function useLoad<T>(path: string): Load<T> {
  const [state, setState] = useState<{ path: string; data?: T; error?: ApiError }>({ path });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    setState({ path });
    get<T>(path, abort.signal)
      .then((data) => setState({ path, data }))
      .catch((error: unknown) => {
        if (!abort.signal.aborted && error instanceof ApiError) setState({ path, error });
      });
    return () => abort.abort();
  }, [path, turn]);
  const current = state.path === path ? state : { path };
  return {
    data: current.data,
    error: current.error,
    loading: current.data === undefined && current.error === undefined,
    reload: useCallback(() => setTurn((n) => n + 1), []),
    change: useCallback((f) => setState((s) => (s.data === undefined ? s : { ...s, data: f(s.data) })), []),
  };
}

/** Sets the document's title while a page shows. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Cruddur`;
  }, [title]);
}

/** Runs an action and keeps its error and whether it is under way. */
export function useSubmit(action: () => Promise<void>): { submit: () => void; busy: boolean; error: ApiError | undefined } {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();
  const submit = () => {
    if (busy) return;
    setBusy(true);
    setError(undefined);
    action()
      .catch((e: unknown) => setError(e instanceof ApiError ? e : new ApiError(String(e), "", 0)))
      .finally(() => setBusy(false));
  };
  return { submit, busy, error };
}
