import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { get, listen } from "./client";
import type { Status } from "./contract";

const KEY = ["status"];

/** What the server says of itself; read anew every 15 s. */
export function useStatus() {
  return useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => get<Status>("status", {}, signal),
    refetchInterval: 15_000,
    staleTime: 5000,
  });
}

/**
 * Keeps the status fresh while something waits for events: by the server's stream where that works, by reading every
 * 2 s where it does not.
 */
export function useLiveStatus(): void {
  const client = useQueryClient();
  useEffect(() => {
    let open = false;
    const stop = listen(
      (sources) => {
        client.setQueryData<Status>(KEY, (old) =>
          old
            ? {
                ...old,
                sources,
                events: Math.max(
                  old.events,
                  sources.reduce((n, s) => n + s.events, 0),
                ),
              }
            : old,
        );
      },
      (state) => {
        open = state;
      },
    );
    const timer = setInterval(() => {
      if (!open) void client.invalidateQueries({ queryKey: KEY });
    }, 2000);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [client]);
}
