// The live page: sound -> AudioWorklet -> engine -> a curve.
import { load } from "./tidegate/index.js";
import { drawCurve } from "./curve.js";
import { openWatch } from "./watch.js";
import { countsOf, createNode } from "./tidegate/worklet.js";

const $ = (id) => document.getElementById(id);
const say = (text) => ($("status").textContent = text);
const bytesOf = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
const QUANTUM = 128; // samples of a block of Web Audio

let plan, recording, known, sound = null; // what Python said; what plays: context, node, stop()

/** Samples of a mono file of 16-bit PCM, as Python reads it; decodeAudioData gives others. */
function pcm(bytes) {
  const view = new DataView(bytes.buffer);
  const text = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  let at = 12;
  while (text(at) !== "data") at += 8 + view.getUint32(at + 4, true);
  const samples = new Float32Array(view.getUint32(at + 4, true) / 2);
  for (let i = 0; i < samples.length; i++) samples[i] = view.getInt16(at + 8 + 2 * i, true) / 32768;
  return { rate: view.getUint32(24, true), samples };
}

const bufferOf = (context) => {
  const buffer = context.createBuffer(1, recording.samples.length, recording.rate);
  buffer.copyToChannel(recording.samples, 0);
  return buffer;
};

/** The hash of the answers to the recording, through the worklet: the last sample of each frame. */
async function check(model) {
  const context = new OfflineAudioContext(1, recording.samples.length, recording.rate);
  const source = new AudioBufferSourceNode(context, { buffer: bufferOf(context) });
  const node = await createNode(context, plan, { values: 1 });
  source.connect(node).connect(context.destination);
  source.start();
  const held = (await context.startRendering()).getChannelData(0);
  const answers = Float32Array.from({ length: Math.floor(held.length / model.width) }, (_, i) => held[(i + 1) * model.width - 1]);
  return model.digest(answers);
}

/** Microseconds that a block takes: the least of five means, because clocks of browsers are coarse. */
function timeOf(model) {
  const frames = Math.max(1, Math.floor(QUANTUM / model.width));
  const stream = model.stream().reserve(frames);
  const means = Array.from({ length: 5 }, () => {
    const start = performance.now();
    let count = 0;
    for (; performance.now() - start < 10; count++) stream.run(frames);
    return ((performance.now() - start) * 1000) / count;
  });
  stream.free();
  return { time: Math.min(...means), samples: frames * model.width };
}

async function open(bytes, name) {
  stop();
  const model = await load(bytes);
  const { time, samples } = timeOf(model);
  plan = bytes;
  $("engine").textContent = model.backend;
  $("time").textContent = `${time.toFixed(1)} µs for ${samples} samples`;
  $("hash").textContent = await check(model);
  const python = name === "meter.tide" ? known.meter.hash : null;
  $("python").textContent = python ?? "for your plan: push frame by frame, and hashlib.blake2b(first values of the answers, digest_size=32)";
  const same = python === $("hash").textContent;
  say(python === null ? `${name} is ready.` : same ? "Ready. The answers have the hash of Python." : "The hashes differ.");
  for (const id of ["play", "microphone"]) $(id).disabled = false;
  return { backend: model.backend, hash: $("hash").textContent, python, time };
}

async function listen(sourceOf, what) {
  stop();
  try {
    const context = new AudioContext({ latencyHint: "interactive" });
    const { source, end = () => {}, heard = false } = await sourceOf(context);
    const node = await createNode(context, plan, { values: 1 });
    const analyser = new AnalyserNode(context, { fftSize: 2048 });
    source.connect(node).connect(analyser);
    const mute = new GainNode(context, { gain: 0 }); // keeps the node running; its answers are no sound
    analyser.connect(mute).connect(context.destination);
    if (heard) source.connect(context.destination);
    context.resume();
    sound = { context, node, analyser, end };
    $("stop").disabled = false;
    say(what);
    draw(sound);
    count(sound);
  } catch (error) {
    say(`${error.name}: ${error.message}`);
  }
}

function stop() {
  if (sound === null) return;
  sound.end();
  sound.context.close();
  sound = null;
  if (document.activeElement === $("stop")) $("play").focus(); // a disabled button would lose the keyboard's place
  $("stop").disabled = true;
  say("Stopped.");
}

/** Missed blocks, as far as the browser tells; asked once a second. */
async function count(playing) {
  while (sound === playing) {
    const { blocks, refused } = await countsOf(playing.node);
    const told = playing.context.playbackStats?.underrunEvents ?? playing.context.playoutStats?.fallbackFramesEvents;
    $("missed").textContent = `${told ?? "not told by this browser"} of ${blocks}${refused ? `, ${refused} refused` : ""}`;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function draw(playing) {
  const values = new Float32Array(playing.analyser.fftSize);
  const value = () => {
    if (sound !== playing) return null;
    playing.analyser.getFloatTimeDomainData(values);
    return values[values.length - 1];
  };
  drawCurve($("curve"), value, (now) => ($("now").textContent = now.toFixed(3)));
}

const fromRecording = async (context) => {
  const source = new AudioBufferSourceNode(context, { buffer: bufferOf(context), loop: true });
  source.start();
  return { source, heard: true, end: () => source.stop() };
};

const fromMicrophone = async (context) => {
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const media = await navigator.mediaDevices.getUserMedia({ audio });
  return { source: new MediaStreamAudioSourceNode(context, { mediaStream: media }), end: () => media.getTracks().forEach((track) => track.stop()) };
};

async function take(file) {
  try {
    await open(new Uint8Array(await file.arrayBuffer()), file.name);
  } catch (error) {
    say(`${file.name}: ${error.name}: ${error.message}`);
  }
}

$("play").addEventListener("click", () => listen(fromRecording, "The recording plays."));
$("microphone").addEventListener("click", () => listen(fromMicrophone, "The microphone is on."));
$("stop").addEventListener("click", stop);
$("plan").addEventListener("change", ({ target }) => target.files[0] && take(target.files[0]));
addEventListener("dragover", (event) => (event.preventDefault(), document.body.classList.add("over")));
addEventListener("dragleave", () => document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
});

try {
  recording = pcm(await bytesOf("recording.wav"));
  known = await (await fetch("python.json")).json();
  const meter = await open(await bytesOf("meter.tide"), "meter.tide");
  window.result = { ...meter, watch: await openWatch(bytesOf, known.watch) };
} catch (error) {
  say(`${error.name}: ${error.message}`);
  window.result = { failed: `${error.name}: ${error.message}` };
}
