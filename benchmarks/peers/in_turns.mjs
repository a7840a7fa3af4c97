// What Node and a browser run: tidegate's package and onnxruntime-web, one frame a push, in turns.

const TURN = 2; // milliseconds of a turn: short, so that some run undisturbed, and long for the coarse clocks of browsers
const WARM = 10; // turns that do not count

/** tidegate's fastest push that refuses bad frames: into an array that is there. */
async function tidegate({ package: { load }, bytesOf }, folder, { precision }) {
  const model = await load(bytesOf(`${folder}/tidegate.${precision}.tide`));
  const stream = model.stream();
  const out = new Float32Array(model.outputs[0].width);
  const step = (frame) => stream.push(frame, out);
  return {
    step,
    async times(frames, from, count) {
      for (let i = 0; i < count; i++) step(frames[(from + i) % frames.length]);
    },
  };
}

/** onnxruntime-web as it documents it: one thread, and the tensors of the states go from a run to the next. */
async function onnxruntime({ package: ort, bytesOf }, folder, { file }, contract) {
  const session = await ort.InferenceSession.create(await bytesOf(`${folder}/${file}`), { executionProviders: ["wasm"] });
  const sizes = (shape) => shape.map((size) => (typeof size === "string" ? 1 : size));
  const zeros = (shape) => new ort.Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  const [input, output] = [contract.inputs[0].name, contract.outputs[0].name];
  const feeds = Object.fromEntries(contract.states.map((state) => [state.input, zeros(sizes(state.shape))]));
  const step = async (frame) => {
    feeds[input] = new ort.Tensor("float32", frame, contract.inputs[0].batch_axis === null ? [1, frame.length] : [1, 1, frame.length]);
    const results = await session.run(feeds);
    for (const state of contract.states) feeds[state.input] = results[state.output];
    return results[output].data;
  };
  return {
    step,
    async times(frames, from, count) {
      for (let i = 0; i < count; i++) await step(frames[(from + i) % frames.length]);
    },
  };
}

const OPEN = { tidegate, onnxruntime };

/**
 * Measure contenders on the cases of a job.
 * @param tools `open(contender)` gives the package; `bytesOf(path)` the bytes of a file of the job
 * @returns for each contender and case: start in ms, the root mean square error, and microseconds a push of each turn
 */
export async function measure(tools, { cases, contenders, turns }) {
  const rows = [];
  for (const one of cases) {
    const exact = new Float64Array((await tools.bytesOf(`${one.folder}/exact.f64`)).buffer);
    const signal = new Float32Array((await tools.bytesOf(`${one.folder}/signal.f32`)).buffer);
    const frames = Array.from({ length: signal.length / one.features }, (_, i) => signal.slice(i * one.features, (i + 1) * one.features));
    const running = [];
    for (const contender of contenders) running.push(await opened(tools, contender, one, frames, exact));
    for (let turn = 0; turn < turns; turn++) for (const each of running) await timed(each, frames);
    for (const { row } of running) row.times.splice(0, WARM); // until the number of pushes is found and the code is compiled
    rows.push(...running.map(({ row }) => row));
  }
  return rows;
}

async function opened(tools, contender, one, frames, exact) {
  const begun = performance.now();
  const at = await OPEN[contender.kind]({ ...tools, package: await tools.open(contender) }, one.folder, contender, one.contract);
  const answers = [(await at.step(frames[0])).slice()];
  const start = performance.now() - begun;
  for (const frame of frames.slice(1)) answers.push((await at.step(frame)).slice());
  let sum = 0;
  answers.forEach((answer, i) => answer.forEach((value, v) => (sum += (value - exact[i * answer.length + v]) ** 2)));
  const row = { contender: contender.name, case: one.name, start, error: Math.sqrt(sum / exact.length), times: [] };
  return { ...at, row, done: 0, count: 16, least: Infinity };
}

async function timed(each, frames) {
  const begun = performance.now();
  await each.times(frames, each.done, each.count);
  const mean = (performance.now() - begun) / each.count;
  each.done += each.count;
  each.row.times.push(mean * 1000);
  each.least = Math.min(each.least, Math.max(mean, 1e-3));
  each.count = Math.max(1, Math.round(TURN / each.least));
}
