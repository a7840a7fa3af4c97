// Opens a page in Chromium at several widths, light and dark, and prints what axe-core finds and how far it is too wide.
//
//     node audit.mjs ADDRESS
import { readFileSync } from "node:fs";
import puppeteer from "puppeteer-core";

const [, , address] = process.argv;
const axe = readFileSync(new URL("./node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"], protocolTimeout: 240_000 });
try {
  const found = [];
  for (const width of [390, 768, 1280]) {
    for (const value of ["light", "dark"]) {
      const page = await browser.newPage();
      await page.setViewport({ width, height: 844 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);
      await page.goto(address, { timeout: 240_000 });
      await page.evaluate(axe);
      const violations = await page.evaluate(async () => (await globalThis.axe.run()).violations.map((one) => `${one.id}: ${one.nodes[0].html}`));
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      found.push({ width, scheme: value, over, paper, violations });
      await page.close();
    }
  }
  console.log(JSON.stringify(found));
} finally {
  await browser.close();
}
