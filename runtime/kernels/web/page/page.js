// Runs the model of this folder: on noise at once, then on frames from a file.
import { load } from "./load.js";

const FRAMES = 1000;
const facts = document.getElementById("facts");
const status = document.getElementById("status");

// The same noise everywhere: whole numbers of a linear congruence, which floats hold exactly.
function noise(count) {
  let seed = 22;
  return Float32Array.from({ length: count }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return ((seed >>> 16) - 32768) / 32768;
  });
}

function show(name, value) {
  const known = [...facts.querySelectorAll("dt")].find((term) => term.textContent === name);
  const detail = known?.nextElementSibling ?? document.createElement("dd");
  if (!known) {
    const term = document.createElement("dt");
    term.textContent = name;
    facts.append(term, detail);
  }
  detail.textContent = value;
}

function run(model, frames, what) {
  const stream = model.stream();
  const count = Math.floor(frames.length / model.width);
  const answers = [];
  const start = performance.now();
  for (let at = 0; at < count; at++) answers.push(stream.push(frames.subarray(at * model.width, (at + 1) * model.width)));
  const each = ((performance.now() - start) * 1000) / count;
  const values = answers.flatMap((answer) => (answer instanceof Float32Array ? [answer] : Object.values(answer)));
  const rest = stream.finish();
  if (rest !== null) values.push(...(rest instanceof Float32Array ? [rest] : Object.values(rest)));
  const all = new Float32Array(values.reduce((sum, part) => sum + part.length, 0));
  values.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  stream.free();
  show("frames", `${count} of ${what}, one a push`);
  show("microseconds a push", each.toFixed(1));
  show("hash of the answers", model.digest(all));
}

try {
  const model = await load();
  show("engine", model.backend);
  show("features of a frame", model.ids ? `one of ${model.ids} ids` : model.width);
  show("values of an answer", model.outputs.map(({ width }) => width).join(", "));
  const frames = noise(FRAMES * model.width);
  run(model, model.ids ? frames.map((value) => Math.floor(((value + 1) / 2) * model.ids)) : frames, "noise");
  status.textContent = "The model runs.";
  document.getElementById("frames").addEventListener("change", async ({ target }) => {
    const bytes = await target.files[0].arrayBuffer();
    try {
      run(model, new Float32Array(bytes.slice(0, bytes.byteLength - (bytes.byteLength % 4))), target.files[0].name);
      status.textContent = "The model ran on your frames.";
    } catch (error) {
      status.textContent = `${error.name}: ${error.message}`;
    }
  });
} catch (error) {
  status.textContent = `${error.name}: ${error.message}`;
}
