// Takes a picture of every page from the sample data, in both themes and two widths: node dev/screenshots.mjs [folder] [name…]
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { serve } from "./fixtures.mjs";

const folder = process.argv[2] ?? "test-results/screenshots";
const only = process.argv.slice(3);
mkdirSync(folder, { recursive: true });

const full = await serve({ port: 0 });
const bare = await serve({ port: 0, empty: true });
const trace = `/traces/${full.trace}`;
const pages = [
  ["home", full, "/"],
  ["welcome", bare, "/"],
  ["traces", full, "/traces"],
  ["traces-refused", full, "/traces?filter=duration+>>+1"],
  ["traces-none", full, "/traces?filter=none"],
  ["traces-bare", bare, "/traces"],
  ["trace", full, trace],
  ["trace-exception", full, `${trace}?span=2ac7f9e0815b63d4&path=1`],
  ["trace-raw", full, `${trace}?span=e9930cd2157b48aa&tab=raw&find=postgres`],
  ["trace-missing", full, "/traces/00000000000000000000000000000000"],
  ["logs", full, "/logs"],
  ["group", full, "/logs/groups/cruddur"],
  ["group-event", full, "/logs/groups/cruddur?event=event-1"],
  ["group-refused", full, "/logs/groups/cruddur?filter={ $.status >= 500 }}"],
  ["map", full, "/map"],
  ["map-node", full, "/map?node=1"],
  ["map-list", full, "/map?view=list"],
  ["query", full, "/q/__all__"],
  [
    "query-groups",
    full,
    `/q/backend-flask?q=${encodeURIComponent(
      JSON.stringify({
        calculations: [{ op: "COUNT" }, { op: "P90", column: "duration_ms" }],
        breakdowns: ["name"],
        filters: [
          { column: "error", op: "exists" },
          { column: "duration_ms", op: ">", value: 20 },
        ],
        orders: [{ op: "COUNT", order: "descending" }],
      }),
    )}`,
  ],
  ["nowhere", full, "/nowhere"],
];

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
for (const theme of ["light", "dark"]) {
  for (const [width, height] of [
    [1440, 900],
    [360, 760],
  ]) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, deviceScaleFactor: 1 });
    for (const [name, { url }, path] of pages) {
      const key = `${name}-${width}-${theme}`;
      if (only.length > 0 && !only.some((o) => key.includes(o))) continue;
      const page = await context.newPage();
      page.on(
        "console",
        (message) =>
          message.type() === "error" && !/404|400/.test(message.text()) && console.log(`${key}: ${message.text()}`),
      );
      page.on("pageerror", (error) => console.log(`${key}: ${error.message}`));
      await page.goto(url + path);
      await page.waitForSelector("h1", { state: "attached" });
      await page.waitForFunction(() => !document.querySelector(".bones"));
      await page.waitForTimeout(250);
      const wide = await page.evaluate(
        () => document.querySelector("main").scrollWidth - document.querySelector("main").clientWidth,
      );
      if (wide > 0) console.log(`${key}: main is ${wide} px too wide`);
      await page.screenshot({ path: join(folder, `${key}.png`) });
      await page.close();
    }
    await context.close();
  }
}
await browser.close();
for (const { server } of [full, bare]) {
  server.closeAllConnections();
  server.close();
}
