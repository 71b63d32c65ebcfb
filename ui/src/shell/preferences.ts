import { useSyncExternalStore } from "react";

/** What a person sets once and keeps in this browser; everything else is in the URL. */
export interface Preferences {
  theme: "light" | "dark" | "system";
  utc: boolean;
  wrap: boolean;
  rail: "wide" | "narrow";
  /** Single-key shortcuts (WCAG 2.1.4 asks for a way to turn them off). */
  keys: boolean;
  /** Share of the waterfall that the tree takes, in per cent. */
  tree: number;
}

const DEFAULTS: Preferences = { theme: "system", utc: false, wrap: false, rail: "wide", keys: true, tree: 40 };
const KEY = "trefoil.preferences";
// theme.js reads this before the first paint.
const THEME_KEY = "trefoil.theme";

const listeners = new Set<() => void>();
let current = read();

function read(): Preferences {
  try {
    return { ...DEFAULTS, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Preferences>) };
  } catch {
    return DEFAULTS;
  }
}

function paint() {
  const dark =
    current.theme === "system" ? matchMedia("(prefers-color-scheme: dark)").matches : current.theme === "dark";
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

/** Changes preferences and keeps them. */
export function setPreferences(change: Partial<Preferences>): void {
  current = { ...current, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
    if (current.theme === "system") localStorage.removeItem(THEME_KEY);
    else localStorage.setItem(THEME_KEY, current.theme);
  } catch {
    // Storage is off: the preferences last as long as the page.
  }
  paint();
  for (const listener of listeners) listener();
}

/** Follows the system's theme while no other is chosen. */
export function followSystemTheme(): void {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    paint();
    for (const listener of listeners) listener();
  });
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The preferences, current at each render. */
export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribe, () => current);
}
