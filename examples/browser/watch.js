// The smartwatch: a recording of a wrist, frame by frame at its own rate, through the net that `make demo` measures.
import { load } from "./tidegate/index.js";
import { drawCurve } from "./curve.js";

const $ = (id) => document.getElementById(id);

/** Load the net, prove its answers to the recording, and let the button play it. */
export async function openWatch(bytesOf, { hash, names, rate }) {
  const model = await load(bytesOf("watch.tide"));
  const motions = new Float32Array((await bytesOf("motions.f32")).buffer);
  const frames = Array.from({ length: motions.length / model.width }, (_, i) => motions.subarray(i * model.width, (i + 1) * model.width));
  const seen = model.digest(answersOf(model, frames));
  $("watch-hash").textContent = seen;
  $("watch-python").textContent = hash;
  let playing = null;
  $("watch").disabled = false;
  $("watch").addEventListener("click", () => {
    $("watch").textContent = playing === null ? "Stop the motions" : "Play the motions";
    playing = playing === null ? play(model, frames, names, rate, (one) => playing === one) : null;
  });
  return { hash: seen, python: hash };
}

function answersOf(model, frames) {
  const stream = model.stream();
  const width = model.outputs[0].width;
  const answers = new Float32Array(frames.length * width);
  frames.forEach((frame, i) => answers.set(stream.push(frame), i * width));
  stream.free();
  return answers;
}

function play(model, frames, names, rate, isCurrent) {
  const stream = model.stream();
  const scores = new Float32Array(model.outputs[0].width);
  const started = performance.now();
  const one = {};
  let pushed = 0;
  const value = () => {
    if (!isCurrent(one)) return stream.free(), null;
    for (const due = ((performance.now() - started) / 1000) * rate; pushed <= due; pushed++) stream.push(frames[pushed % frames.length], scores);
    const weights = Array.from(scores, (score) => Math.exp(score - Math.max(...scores)));
    return Math.max(...weights) / weights.reduce((a, b) => a + b);
  };
  const show = (certain) => ($("exercise").textContent = `${names[scores.indexOf(Math.max(...scores))]}, ${Math.round(100 * certain)} %`);
  requestAnimationFrame(() => drawCurve($("watch-curve"), value, show)); // after the button knows what plays
  return one;
}
