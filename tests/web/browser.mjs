// What a browser is asked: the package in the page, in a worker and in an AudioWorklet, on the files of job.json.
import { load } from "/package/index.js";
import { load as loadInWorker } from "/package/worker.js";
import { countsOf, createNode } from "/package/worklet.js";

const bytesOf = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
const floatsOf = async (name) => new Float32Array((await bytesOf(name)).buffer);

function joined(parts) {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
}

async function vector(name) {
  const model = await load(bytesOf(`/vectors/${name}.tide`));
  const frames = await floatsOf(`/vectors/${name}.frames`);
  const found = model.outputs.map(() => []);
  const stream = model.stream();
  const add = (answer) => {
    if (answer === null) return;
    const answers = model.outputs.length === 1 ? [answer] : model.text.outputs.map((output) => answer[output]);
    answers.forEach((values, i) => {
      if (!model.outputs[i].timed && values.length) found[i].length = 0;
      found[i].push(values);
    });
  };
  for (let at = 0; at < frames.length; at += 7 * model.width) add(stream.push(frames.subarray(at, at + 7 * model.width)));
  add(stream.finish());
  return model.digest(joined([...found.flat(), ...stream.states()]));
}

async function inWorker(plan, frames, digest) {
  const model = await loadInWorker(plan);
  const stream = await model.stream();
  const refused = await stream.push(new Float32Array([NaN])).then(() => "", (error) => `${error.name}: ${error.message}`);
  return { hash: digest(await stream.push(frames)), backend: await model.backend(), refused };
}

async function inWorklet(plan, samples, digest) {
  const context = new OfflineAudioContext(1, samples.length, 44100);
  const buffer = context.createBuffer(1, samples.length, 44100);
  buffer.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  const node = await createNode(context, plan);
  source.connect(node).connect(context.destination);
  source.start();
  const rendered = await context.startRendering();
  const refused = createNode(context, bytesOf("/vectors/lstm_16_bits.tide")).then(() => "", (error) => `${error.name}: ${error.message}`);
  return { hash: digest(rendered.getChannelData(0)), backend: node.backend, ...(await countsOf(node)), tooWide: await refused };
}

async function all() {
  const job = await (await fetch("/job.json")).json();
  const plan = await bytesOf("/plan.tide");
  const samples = await floatsOf("/samples.f32");
  const model = await load(plan);
  const digest = (values) => model.digest(values);
  const vectors = {};
  for (const name of job.vectors) vectors[name] = await vector(name);
  return {
    vectors, isolated: crossOriginIsolated, page: { hash: digest(model.stream().push(samples)), backend: model.backend },
    worker: await inWorker(plan, samples, digest), worklet: await inWorklet(plan, samples, digest),
  };
}

window.result = await all().catch((error) => ({ failed: `${error.name}: ${error.message}\n${error.stack}` }));
document.title = "done";
