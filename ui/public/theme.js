// Sets the stored theme before the first paint, so that the page does not flash.
(() => {
  let stored = null;
  try {
    stored = localStorage.getItem("trefoil.theme");
  } catch {
    // Storage is off: the system's preference applies.
  }
  const dark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
