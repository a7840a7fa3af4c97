// Measures in Node or in Chromium, and prints the rows of in_turns.mjs as JSON; or what a live AudioWorklet took.
//
//     node browser.mjs node|chromium|worklet FOLDER
//
// The folder has job.json, the files that it names, and in package/ tidegate's npm package. PUPPETEER and ORT name the entry
// of puppeteer-core and onnxruntime-web's dist/.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [, , where, folder] = process.argv;
const MINUTES = 20 * 60_000; // until a page must have ended, also on a crowded machine
const TYPES = { ".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm" };

async function inNode() {
  const { measure } = await import("./in_turns.mjs");
  const bytesOf = async (name) => new Uint8Array(await readFile(join(folder, name)));
  const load = (path) => import(pathToFileURL(path).href);
  const open = async ({ kind }) => {
    if (kind === "tidegate") return load(join(folder, "package", "index.js"));
    const ort = await load(join(process.env.ORT, "ort.node.min.mjs"));
    ort.env.wasm.numThreads = 1;
    return ort;
  };
  return measure({ open, bytesOf }, JSON.parse(await readFile(join(folder, "job.json"), "utf8")));
}

const PAGE = `<!doctype html><script type="module">
  import { measure } from "/in_turns.mjs";
  const bytesOf = async (name) => new Uint8Array(await (await fetch("/" + name)).arrayBuffer());
  const open = async ({ kind }) => {
    if (kind === "tidegate") return import("/package/index.js");
    const ort = await import("/ort/ort.wasm.min.mjs");
    ort.env.wasm.numThreads = 1;
    return ort;
  };
  const job = await (await fetch("/job.json")).json();
  window.rows = await measure({ open, bytesOf }, job).catch((error) => ({ failed: String(error.stack ?? error) }));
</script>`;

function fileOf(url) {
  if (url === "/in_turns.mjs") return new URL("in_turns.mjs", import.meta.url);
  return url.startsWith("/ort/") ? join(process.env.ORT, url.slice(5)) : join(folder, url);
}

// The processor's own call for a block, made by the page, where there is a clock: the least mean of turns. Then live, where
// the browser tells of a block that came late.
const WORKLET = `<!doctype html><script type="module">
  import { engine } from "/package/index.js";
  import { countsOf, createNode } from "/package/worklet.js";
  const { plan, rate, seconds } = await (await fetch("/job.json")).json();
  const bytes = new Uint8Array(await (await fetch("/" + plan)).arrayBuffer());
  const called = async () => {
    let Processor;
    globalThis.AudioWorkletProcessor = class { port = { postMessage() {} }; };
    globalThis.registerProcessor = (_, given) => (Processor = given);
    await import("/package/processor.js");
    const processor = new Processor({ processorOptions: { module: await engine(), plan: bytes } });
    const input = [Float32Array.from({ length: 128 }, (_, i) => Math.sin(i / 10))], output = [new Float32Array(128)];
    let least = Infinity;
    for (let turn = 0; turn < 1000; turn++) {
      const begun = performance.now();
      for (let i = 0; i < 20; i++) processor.process([input], [output]);
      if (turn > 50) least = Math.min(least, (performance.now() - begun) * 50);
    }
    return least;
  };
  const live = async () => {
    const context = new AudioContext({ sampleRate: rate });
    const source = new OscillatorNode(context, { frequency: 220 });
    const node = await createNode(context, bytes);
    source.connect(node).connect(new GainNode(context, { gain: 0 })).connect(context.destination);
    source.start();
    await context.resume();
    const begun = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    const stats = context.playbackStats;
    const told = { underruns: stats?.underrunEvents ?? stats?.fallbackFramesEvents ?? null, latency: context.baseLatency };
    const counts = await countsOf(node);
    const wall = (performance.now() - begun) / 1000;
    await context.close();
    return { ...told, ...counts, wall };
  };
  const measure = async () => ({ block: await called(), ...(await live()) });
  window.rows = await measure().catch((error) => ({ failed: String(error.stack ?? error) }));
</script>`;

async function inChromium(shown) {
  const { default: puppeteer } = await import(pathToFileURL(process.env.PUPPETEER).href);
  const server = createServer(async ({ url }, response) => {
    const bytes = url === "/" ? shown : await readFile(fileOf(url)).catch(() => null);
    response.writeHead(bytes === null ? 404 : 200, { "Content-Type": TYPES[url === "/" ? ".html" : extname(url)] ?? "application/octet-stream" });
    response.end(bytes);
  }).listen(0, "127.0.0.1");
  const args = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"];
  const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM, args, protocolTimeout: MINUTES });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.waitForFunction("window.rows", { timeout: MINUTES, polling: 200 });
    return await page.evaluate(() => window.rows);
  } finally {
    await browser.close();
    server.close();
  }
}

const PLACES = { node: inNode, chromium: () => inChromium(PAGE), worklet: () => inChromium(WORKLET) };
const rows = await PLACES[where]();
if (rows.failed) throw new Error(rows.failed);
console.log(JSON.stringify(rows));
