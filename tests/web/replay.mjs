// Jobs for a module in Node: reads them as JSON from standard input, and writes the results.
//
//     node replay.mjs tidegate.js module.wasm < jobs.json
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , entry, modulePath] = process.argv;
const { Model } = await import(pathToFileURL(entry).href);
const module = new WebAssembly.Module(readFileSync(modulePath));
const floats = (path) => new Float32Array(new Uint8Array(readFileSync(path)).buffer);
const base64 = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));

function joined(parts) {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
}

// The answers of a stream that is pushed in pieces, then its states: what a golden vector has.
function answersOf(model, frames, piece) {
  const stream = model.stream();
  const found = model.outputs.map(() => []);
  const add = (answer) => {
    if (answer === null) return;
    const answers = model.outputs.length === 1 ? [answer] : model.text.outputs.map((name) => answer[name]);
    answers.forEach((values, i) => {
      if (!model.outputs[i].timed && values.length) found[i].length = 0;
      found[i].push(values);
    });
  };
  for (let at = 0; at < frames.length; at += piece * model.width) add(stream.push(frames.subarray(at, at + piece * model.width)));
  add(stream.finish());
  const all = joined([...found.flat(), ...stream.states()]);
  stream.free();
  return all;
}

function said(work) {
  try {
    work();
    return null;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

const JOBS = {
  replay({ stem, pieces }) {
    const model = new Model(module, readFileSync(`${stem}.tide`));
    const frames = floats(`${stem}.frames`);
    const answers = pieces.map((piece) => base64(answersOf(model, frames, piece)));
    return { isa: model.isa, answers };
  },
  // A plan with one byte changed, or cut off there.
  damage({ stem, changes }) {
    const plan = new Uint8Array(readFileSync(`${stem}.tide`));
    return changes.map(([at, flip]) => {
      const damaged = flip ? plan.slice() : plan.slice(0, at);
      if (flip) damaged[at] ^= flip;
      return said(() => new Model(module, damaged));
    });
  },
  // A snapshot after half of the frames; then a stream that goes on from a given one.
  snapshot({ stem, half, given }) {
    const model = new Model(module, readFileSync(`${stem}.tide`));
    const frames = floats(`${stem}.frames`);
    const first = model.stream();
    first.push(frames.subarray(0, half * model.width));
    const other = model.stream();
    other.restore(bytes(given));
    const fork = other.fork();
    const answers = [other, fork].map((stream) => (stream.push(frames.subarray(half * model.width)), base64(joined(stream.states()))));
    return { taken: base64(first.snapshot()), answers, frames: fork.frames };
  },
  // The frames by the name of their signal; in a group too, twice; and refusals.
  named({ stem, names }) {
    const model = new Model(module, readFileSync(`${stem}.tide`));
    const frames = floats(`${stem}.frames`);
    const [alone, stream] = [model.stream(), model.stream()];
    const answers = [alone.push(frames), stream.push({ [names[0]]: frames })];
    const twice = joined([frames, frames]);
    answers.push(model.streams(2).push({ [names[0]]: twice }).subarray(0, answers[0].length));
    return { answers: answers.map(base64), said: [{ [names[1]]: frames }, {}].map((chunk) => said(() => stream.push(chunk))) };
  },
  // Streams are opened until the memory of the module grows, in the middle of one.
  grown({ stem, half }) {
    const model = new Model(module, readFileSync(`${stem}.tide`));
    const frames = floats(`${stem}.frames`);
    const out = new Float32Array(model.outputs[0].width * half);
    const stream = model.stream();
    const first = stream.push(frames.subarray(0, half * model.width), out).slice();
    const { buffer } = model.engine.bytes;
    const others = [];
    while (buffer.byteLength > 0) others.push(model.stream());
    return { others: others.length, answers: base64(joined([first, stream.push(frames.subarray(half * model.width)), ...stream.states()])) };
  },
  restore({ stem, given }) {
    const model = new Model(module, readFileSync(`${stem}.tide`));
    const stream = model.stream();
    return given.map((snapshot) => said(() => stream.restore(bytes(snapshot))));
  },
};

const jobs = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(jobs.map((job) => JOBS[job.kind](job))));
