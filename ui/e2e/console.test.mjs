// Drives the console of a running, seeded server in a real browser: TREFOIL_URL=http://127.0.0.1:8733 npm run e2e
//
// The seed must hold, within the last hour: one trace with rows of OTLP, X-Ray and logs (the newest that has all three is taken),
// and one log group with events. Without TREFOIL_URL the tests run against the sample data of dev/fixtures.mjs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { serve } from "../dev/fixtures.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let base = process.env.TREFOIL_URL;
let fixtures;
let browser;
let mixed;
let group;

async function api(path) {
  const response = await fetch(`${base}/api/${path}`);
  assert.equal(response.status, 200, `/api/${path} answers`);
  return response.json();
}

async function open(path, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    permissions: ["clipboard-read", "clipboard-write"],
    ...options,
  });
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && /Content Security Policy/.test(message.text())) problems.push(message.text());
  });
  await page.goto(base + path);
  await page.getByRole("heading", { level: 1 }).waitFor({ state: "attached" });
  return { page, problems, close: () => context.close() };
}

before(async () => {
  if (!base) {
    fixtures = await serve({ port: 0 });
    base = fixtures.url;
  }
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
  const { traces } = await api("traces?limit=200");
  mixed = traces
    .filter(
      (t) =>
        ["xray", "logs"].every((s) => t.sources.includes(s)) &&
        (t.sources.includes("otlp") || t.sources.includes("events")),
    )
    .sort((a, b) => Number(b.logs > 0) - Number(a.logs > 0) || b.spans + b.logs - a.spans - a.logs)[0];
  assert.ok(mixed, "the seed holds a trace of three sources");
  const { groups } = await api("logs/groups");
  group = [...groups].sort((a, b) => b.events - a.events)[0];
  assert.ok(group, "the seed holds a log group");
});

after(async () => {
  await browser?.close();
  fixtures?.server.closeAllConnections();
  fixtures?.server.close();
});

describe("pages", () => {
  for (const [path, heading] of [
    ["/", "Home"],
    ["/traces", "Traces"],
    ["/logs", "Logs"],
    ["/map", "Map"],
    ["/q/__all__", "Query"],
  ]) {
    test(`${path} opens and is marked in the navigation`, async () => {
      const { page, problems, close } = await open(path);
      await page.getByRole("heading", { level: 1, name: heading }).waitFor();
      assert.match(await page.title(), new RegExp(heading));
      await page
        .getByRole("navigation", { name: "Pages" })
        .getByRole("link", { name: heading, exact: true })
        .and(page.locator("[aria-current=page]"))
        .waitFor();
      assert.deepEqual(problems, []);
      await close();
    });
  }

  test("an unknown address says so", async () => {
    const { page, close } = await open("/no/such/page");
    await page.getByText("There is no such page").waitFor();
    await close();
  });

  test("keys go from page to page, and ? lists them", async () => {
    const { page, close } = await open("/");
    await page.keyboard.press("g");
    await page.keyboard.press("t");
    await page.getByRole("heading", { level: 1, name: "Traces" }).waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    await close();
  });
});

describe("the waterfall", () => {
  test("shows rows of three sources, and the fields of a row", async () => {
    const { page, problems, close } = await open(`/traces/${mixed.trace_id}`);
    await page.getByRole("treegrid").waitFor();
    for (const sources of [["otlp", "events"], ["xray"], ["logs"]]) {
      const selector = sources.map((s) => `[role=row][data-source=${s}]`).join(",");
      await page.locator(selector).first().waitFor({ state: "attached" });
    }
    await page
      .getByRole("complementary", { name: "Details of the row" })
      .getByRole("tab", { name: /Fields/ })
      .waitFor();
    assert.deepEqual(problems, []);
    await close();
  });

  test("is walked by keys, and the address keeps the row", async () => {
    const { page, close } = await open(`/traces/${mixed.trace_id}`);
    const rows = page.getByRole("treegrid").getByRole("row");
    await rows.nth(1).click();
    await page.keyboard.press("ArrowDown");
    await page.waitForFunction(
      () => document.querySelector("[role=row][aria-selected=true]")?.getAttribute("aria-rowindex") === "3",
    );
    const name = await page.locator("[role=row][aria-selected=true]").getAttribute("aria-label");
    await page.reload();
    await page.locator("[role=row][aria-selected=true]").waitFor();
    assert.equal(await page.locator("[role=row][aria-selected=true]").getAttribute("aria-label"), name);
    await close();
  });

  test("collapses and expands", async () => {
    const { page, close } = await open(`/traces/${mixed.trace_id}`);
    const rows = page.getByRole("treegrid");
    const before = Number(await rows.getAttribute("aria-rowcount"));
    await rows.getByRole("row", { expanded: true }).first().click();
    await page.keyboard.press("ArrowLeft");
    await page.waitForFunction(
      (n) => Number(document.querySelector("[role=treegrid]")?.getAttribute("aria-rowcount")) < n,
      before,
    );
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction(
      (n) => Number(document.querySelector("[role=treegrid]")?.getAttribute("aria-rowcount")) === n,
      before,
    );
    await close();
  });

  test("a trace that is not there is said to be missing", async () => {
    const { page, close } = await open("/traces/1-00000000-000000000000000000000000");
    await page.getByText("No trace with this id").waitFor();
    await close();
  });
});

describe("finding a trace", () => {
  for (const [spelling, text] of [
    ["W3C", (t) => t.trace_id],
    ["X-Ray", (t) => t.xray_id],
    ["a header", (t) => `X-Amzn-Trace-Id: Root=${t.xray_id};Sampled=1`],
  ]) {
    test(`a pasted id opens it: ${spelling}`, async () => {
      const { page, close } = await open("/");
      await page.keyboard.press("Control+k");
      const field = page.getByRole("combobox", { name: "Find a trace, log group or page" });
      await field.waitFor();
      await page.evaluate((t) => navigator.clipboard.writeText(t), text(mixed));
      await field.press("Control+v");
      await page.waitForURL(new RegExp(`/traces/${mixed.trace_id}`));
      await page.getByRole("treegrid").waitFor();
      await close();
    });
  }

  for (const [name, path] of [
    ["Honeycomb", (t) => `/team/environments/bootcamp/datasets/backend-flask/trace?trace_id=${t.trace_id}`],
    ["the X-Ray console", (t) => `/xray/home?region=us-east-1#/traces/${t.xray_id}`],
    ["CloudWatch", (t) => `/cloudwatch/home#xray:traces/${t.xray_id}`],
  ]) {
    test(`an address of ${name} leads to it`, async () => {
      const { page, close } = await open(path(mixed));
      await page.waitForURL(/\/traces\/[0-9a-f-]+/);
      await page.getByRole("treegrid").waitFor();
      await close();
    });
  }
});

describe("filters", () => {
  test("a broken filter is shown with its place, and the text stays", async () => {
    const { page, close } = await open("/traces");
    const field = page.getByRole("searchbox", { name: "X-Ray filter expression" });
    await field.fill("duration >> 1");
    await field.press("Enter");
    const alert = page.getByRole("alert");
    await alert.waitFor();
    assert.match(await alert.textContent(), /\^/);
    assert.equal(await field.inputValue(), "duration >> 1");
    assert.match(page.url(), /filter=duration/);
    await close();
  });

  test("a filter that matches nothing offers to clear it", async () => {
    const { page, close } = await open(
      `/traces?filter=${encodeURIComponent(process.env.TREFOIL_URL ? 'service("no such service")' : "none")}`,
    );
    await page.getByRole("button", { name: "Clear the filter" }).last().click();
    await page.getByRole("table", { name: "Traces" }).waitFor();
    await close();
  });

  test("the time range is read from text, and kept in the address", async () => {
    const { page, close } = await open("/traces");
    await page.getByRole("button", { name: /^Time range/ }).click();
    const field = page.getByRole("textbox", { name: "Time range" });
    await field.fill("90m");
    await field.press("Enter");
    await page.waitForURL(/t=90m/);
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Logs" }).click();
    await page.waitForURL(/\/logs\?t=90m/);
    await close();
  });
});

test("logs: from the groups to an event", async () => {
  const { page, close } = await open("/logs");
  await page.getByRole("link", { name: group.name, exact: true }).click();
  await page.getByRole("heading", { level: 1, name: group.name }).waitFor();
  await page.getByRole("navigation", { name: "Streams" }).getByRole("link").nth(1).click();
  await page.waitForURL(/stream=/);
  const event = page.getByRole("region", { name: "Events" }).getByRole("listitem").first().getByRole("button");
  await event.click();
  await page.getByRole("button", { name: "Copy message" }).waitFor();
  await close();
});

test("the map leads from a service to its traces", async () => {
  const { page, close } = await open("/map");
  const node = page.getByRole("region", { name: "Service graph" }).getByRole("button").nth(1);
  await node.click();
  await page.getByRole("complementary", { name: "Details of the service" }).waitFor();
  await page.getByRole("button", { name: "List" }).click();
  await page.getByRole("table", { name: "Services" }).waitFor();
  await close();
});

test("links are drawn apart from calls, and the legend says so", async () => {
  const { page, close } = await open("/map");
  const answered = page.waitForResponse((r) => new URL(r.url()).pathname === "/api/map" && r.ok());
  await page.reload();
  const { edges } = await (await answered).json();
  const links = edges.filter((e) => e.link && e.source !== e.target);
  const graph = page.getByRole("region", { name: "Service graph" });
  await graph.getByRole("button").first().waitFor();
  const lines = graph.getByText(/→ .*: [\d,]+ links? to what it sent/);
  assert.equal(await lines.count(), links.length, "each link is a line that says what it is");
  assert.equal(
    await page.getByRole("list", { name: "Legend" }).getByText("link", { exact: true }).count(),
    links.length > 0 ? 1 : 0,
  );
  if (links.length > 0) {
    const dashes = await lines.first().evaluate((title) => getComputedStyle(title.parentElement).strokeDasharray);
    assert.notEqual(dashes, "none", "it is dashed");
  }
  await close();
});

test("a query draws a chart and a table", async () => {
  const { page, close } = await open("/q/__all__");
  await page.getByRole("img", { name: /^COUNT over time/ }).waitFor();
  await page.getByRole("table", { name: "Results" }).waitFor();
  await page.getByRole("button", { name: "Add a group" }).click();
  await page.getByRole("combobox", { name: "Group by" }).fill("name");
  await page.getByRole("button", { name: "Run", exact: true }).first().click();
  await page.waitForURL(/q=/);
  await page.getByRole("columnheader", { name: "name", exact: true }).waitFor();
  await close();
});

describe("accessibility", () => {
  const pages = () => [
    "/",
    "/traces",
    `/traces/${mixed.trace_id}`,
    "/logs",
    `/logs/groups/${encodeURIComponent(group.name)}`,
    "/map",
    "/map?view=list",
    "/q/__all__",
    "/traces?filter=duration+>>+1",
  ];
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1440, 360]) {
      test(`axe finds nothing serious, ${colorScheme}, ${width} px`, async () => {
        const found = [];
        for (const path of pages()) {
          const { page, close } = await open(path, {
            colorScheme,
            viewport: { width, height: 900 },
            bypassCSP: true,
            reducedMotion: "reduce",
          });
          await page.waitForFunction(() => !document.querySelector(".bones"));
          await page.evaluate(axe);
          const { violations } = await page.evaluate(() =>
            window.axe.run(document, {
              runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
            }),
          );
          for (const v of violations.filter((x) => ["serious", "critical"].includes(x.impact)))
            found.push(
              `${path}: ${v.id}: ${v.nodes
                .map((n) => n.target.join(" "))
                .slice(0, 3)
                .join("; ")}`,
            );
          await close();
        }
        assert.deepEqual(found, []);
      });
    }
  }
});
