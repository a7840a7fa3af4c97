// Opens a page in a real browser without a window, and prints its `window.result` when the title says "done".
//
//     node browse.mjs chromium|firefox ADDRESS [WIDTH light|dark PICTURE]...
//
// With FILES, these are dropped on the page, one after the other; `dropped` is what #status and #hash say then.
// With CLICK, a button is then pressed by the keyboard, until the elements of SHOWN say something other than a dash.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import puppeteer from "puppeteer-core";

const [, , browser, address, ...pictures] = process.argv;
const LAUNCH = {
  chromium: {
    browser: "chrome", executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
  },
  firefox: {
    browser: "firefox", executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    extraPrefsFirefox: { "media.autoplay.default": 0, "media.navigator.streams.fake": true, "media.navigator.permission.disabled": true },
  },
};
const SECONDS = 240; // until a page must have ended, also on a crowded machine

const running = await puppeteer.launch({ headless: true, protocolTimeout: SECONDS * 1000, timeout: SECONDS * 1000, ...LAUNCH[browser] });
try {
  const page = await running.newPage();
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  await page.goto(address, { timeout: SECONDS * 1000 });
  await page.waitForFunction("document.title === 'done' || window.result !== undefined", { timeout: SECONDS * 1000, polling: 200 });
  const dropped = [];
  for (const path of (process.env.FILES ?? "").split(",").filter(Boolean)) {
    const name = basename(path);
    await page.evaluate((name, base64) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name));
      document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
    }, name, readFileSync(path).toString("base64"));
    await page.waitForFunction((name) => document.querySelector("#status").textContent.startsWith(name), { timeout: SECONDS * 1000, polling: 200 }, name);
    dropped.push(await page.evaluate(() => ["#status", "#hash"].map((id) => document.querySelector(id).textContent)));
  }
  const shown = {};
  if (process.env.CLICK) {
    await page.focus(process.env.CLICK);
    await page.keyboard.press("Enter");
    for (const name of process.env.SHOWN.split(",")) {
      const element = await page.waitForFunction((id) => document.querySelector(id).textContent !== "–" && document.querySelector(id), { timeout: SECONDS * 1000, polling: 200 }, name);
      shown[name] = await element.evaluate((node) => node.textContent);
    }
  }
  console.log(JSON.stringify({ result: await page.evaluate(() => window.result), shown, dropped, said, version: await running.version() }));
  for (let i = 0; i + 2 < pictures.length; i += 3) {
    await page.setViewport({ width: Number(pictures[i]), height: 844, deviceScaleFactor: 2 });
    if (browser === "chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: pictures[i + 1] }]);
    await page.screenshot({ path: pictures[i + 2], fullPage: true });
  }
} finally {
  await running.close();
}
