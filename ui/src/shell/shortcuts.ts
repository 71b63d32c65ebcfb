import { type RefObject, useEffect, useRef } from "react";
import { usePreferences } from "./preferences";

/** Keys ("e", "E", "ArrowDown", or two in a row: "g t") to what they do. */
export type Bindings = Record<string, (event: KeyboardEvent) => void>;

/** How long the second key of a pair is waited for. */
const PAIR_MS = 1200;

// One listener serves all bindings: a key may be the second of one component's pair and a single of another's.
const bound = new Set<RefObject<Bindings>>();
let first: { key: string; at: number } | undefined;

function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

function find(keys: string): ((event: KeyboardEvent) => void) | undefined {
  for (const ref of bound) {
    const act = ref.current[keys];
    if (act) return act;
  }
  return undefined;
}

function onKey(event: KeyboardEvent) {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || typing(event.target)) return;
  if (document.querySelector("dialog[open], .popover")) return;
  if (event.key === "Shift") return;
  const paired = first && event.timeStamp - first.at < PAIR_MS ? find(`${first.key} ${event.key}`) : undefined;
  first = undefined;
  const act = paired ?? find(event.key);
  if (act) {
    event.preventDefault();
    act(event);
  } else if ([...bound].some((ref) => Object.keys(ref.current).some((keys) => keys.startsWith(`${event.key} `)))) {
    first = { key: event.key, at: event.timeStamp };
  }
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
    if (bound.size === 0) window.addEventListener("keydown", onKey);
    bound.add(latest);
    return () => {
      bound.delete(latest);
      if (bound.size === 0) window.removeEventListener("keydown", onKey);
    };
  }, [keys]);
}
