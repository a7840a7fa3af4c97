// A node of the Web Audio API whose processor runs a model.
import * as tidegate from "./index.js";

const MOST_CHANNELS = 32; // of an AudioNode

/**
 * Make a node that gives its input to the model and its answers out: `values` output channels for each input channel.
 * A model of one feature takes a sample a frame; one of n features takes n samples, and its answer holds until the next.
 * `values` is how many of an answer come out, the first ones; by default all.
 */
export async function createNode(context, plan, { channels = 1, values, url = new URL("./processor.js", import.meta.url) } = {}) {
  const [module, bytes] = await Promise.all([tidegate.engine(), plan, context.audioWorklet.addModule(url)]);
  const model = new tidegate.Model(module, bytes); // refused here, with its own words
  const all = model.outputs.reduce((sum, { width }) => sum + width, 0);
  model.free();
  const given = Math.min(values ?? all, all);
  if (channels * given > MOST_CHANNELS) {
    throw new tidegate.UnsupportedError(
      `${channels * given} values of answers, and a node of Web Audio has at most ${MOST_CHANNELS} output channels; ` +
        "take the first ones by the option values, or push in a worker");
  }
  const node = new AudioWorkletNode(context, "tidegate", {
    numberOfInputs: 1,
    numberOfOutputs: 1,
    channelCount: channels,
    channelCountMode: "explicit",
    channelInterpretation: "discrete",
    outputChannelCount: [channels * given],
    processorOptions: { module, plan: bytes, channels, values: given },
  });
  return ready(node);
}

function ready(node) {
  return new Promise((resolve, reject) => {
    node.onprocessorerror = () => reject(new tidegate.BackendError("the processor did not start"));
    node.port.onmessage = ({ data }) => {
      if (data.error) reject(new (tidegate[data.error.name] ?? tidegate.BackendError)(data.error.message));
      else resolve(Object.assign(node, { backend: data.backend, hop: data.hop, values: data.values }));
    };
  });
}

/** Blocks that the node's processor took so far, and pushes that were refused. */
export function countsOf(node) {
  return new Promise((resolve) => {
    node.port.onmessage = ({ data }) => resolve(data);
    node.port.postMessage(null);
  });
}
