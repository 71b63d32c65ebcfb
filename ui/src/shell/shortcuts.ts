import { useEffect, useRef } from "react";
import { usePreferences } from "./preferences";

/** Keys ("e", "E", "ArrowDown", or two in a row: "g t") to what they do. */
export type Bindings = Record<string, (event: KeyboardEvent) => void>;

function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

/** Binds keys while the component is mounted. They rest while someone types, in dialogs, with modifiers, and when turned off. */
export function useShortcuts(bindings: Bindings): void {
  const { keys } = usePreferences();
  const latest = useRef(bindings);
  useEffect(() => {
    latest.current = bindings;
  });
  useEffect(() => {
    if (!keys) return;
    let first: { key: string; at: number } | undefined;
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || typing(event.target)) return;
      if (document.querySelector("dialog[open], .popover")) return;
      const pair = first && event.timeStamp - first.at < 1200 ? `${first.key} ${event.key}` : undefined;
      const act = (pair && latest.current[pair]) || (pair ? undefined : latest.current[event.key]);
      first = Object.keys(latest.current).some((k) => k.startsWith(`${event.key} `))
        ? { key: event.key, at: event.timeStamp }
        : undefined;
      if (act) {
        event.preventDefault();
        act(event);
        first = undefined;
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [keys]);
}
