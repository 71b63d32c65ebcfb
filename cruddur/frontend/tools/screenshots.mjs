// Takes a picture of every page at 1440 and 360 px and checks that none
// scrolls sideways or logs an error.
//   node tools/screenshots.mjs <address of the pages> <folder>
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [base = "http://127.0.0.1:3000", out = "screenshots"] = process.argv.slice(2);
mkdirSync(out, { recursive: true });

const session = {
  account: { name: "Andrew Brown", handle: "andrewbrown", email: "andrew@cruddur.test", confirmed: true },
  signedIn: true,
};
const pages = [
  ["home-guest", "/", false],
  ["home", "/", true],
  ["search", "/?q=cloud", true],
  ["search-empty", "/?q=romulan", true],
  ["notifications", "/notifications", true],
  ["user", "/@andrewbrown", true],
  ["messages", "/messages", true],
  ["messages-guest", "/messages", false],
  ["conversation", "/messages/@worf", true],
  ["conversation-empty", "/messages/@quark", true],
  ["signup", "/signup", false],
  ["signin", "/signin", false],
  ["confirm", "/confirm?email=worf%40cruddur.test", false],
  ["forgot", "/forgot", false],
  ["not-found", "/nowhere", true],
];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
let failures = 0;
const fail = (text) => {
  failures += 1;
  console.error(text);
};

async function open(width, signedIn) {
  const context = await browser.newContext({ viewport: { width, height: width < 500 ? 740 : 900 } });
  if (signedIn) await context.addInitScript((s) => localStorage.setItem("cruddur.session", s), JSON.stringify(session));
  const page = await context.newPage();
  page.on("console", (m) => m.type() === "error" && fail(`${page.url()}: ${m.text()}`));
  page.on("pageerror", (e) => fail(`${page.url()}: ${e}`));
  return { context, page };
}

async function shoot(page, name, width) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  if (wide) fail(`${name} at ${width} px scrolls sideways`);
  await page.screenshot({ path: `${out}/${name}-${width}.png` });
}

for (const width of [1440, 360]) {
  for (const [name, path, signedIn] of pages) {
    const { context, page } = await open(width, signedIn);
    await page.goto(base + path, { waitUntil: "networkidle" });
    await shoot(page, name, width);
    await context.close();
  }

  // Writing: a crud, a reply to it, a message.
  const { context, page } = await open(width, true);
  await page.goto(base, { waitUntil: "networkidle" });
  await page.getByRole("button", { name: "Crud", exact: true }).click();
  await page.getByLabel("What would you like to say?").fill("x".repeat(281));
  await shoot(page, "crud-too-long", width);
  if (await page.getByRole("dialog").getByRole("button", { name: "Crud" }).isEnabled()) fail("a crud that is too long can be sent");
  const text = `Make it so, ${width}`;
  await page.getByLabel("What would you like to say?").fill(text);
  await page.getByRole("dialog").getByRole("button", { name: "Crud" }).click();
  const crud = page.getByRole("listitem").filter({ hasText: text }).first();
  await crud.getByRole("button", { name: "Reply" }).first().click();
  await shoot(page, "reply", width);
  await page.getByLabel("Your reply").fill("Aye, captain");
  await page.getByRole("dialog").getByRole("button", { name: "Reply" }).click();
  await crud.getByText("Aye, captain").waitFor();
  await shoot(page, "written", width);
  await page.goto(`${base}/messages/@worf`, { waitUntil: "networkidle" });
  await page.getByLabel("Message to @worf").fill("Report!");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByText("Report!").first().waitFor();
  await context.close();

  // A backend that fails, and signing in by hand.
  const { context: other, page: guest } = await open(width, false);
  await guest.route("**/api/activities/home", (r) => r.fulfill({ status: 500, contentType: "application/json", body: '["internal_server_error"]', headers: { "Access-Control-Allow-Origin": "*" } }));
  guest.removeAllListeners("console");
  await guest.goto(base, { waitUntil: "networkidle" });
  await guest.getByRole("alert").waitFor();
  await shoot(guest, "error", width);
  await guest.unroute("**/api/activities/home");
  await guest.goto(`${base}/signin`);
  await guest.getByLabel("Password").fill("anything");
  await guest.getByRole("button", { name: "Sign in" }).click();
  await guest.getByRole("button", { name: "Crud", exact: true }).waitFor();
  await other.close();
}
await browser.close();
if (failures > 0) process.exit(1);
