// A node of the Web Audio API whose processor runs a model.
import * as tidegate from "./index.js";

/**
 * Make a node that gives its input to the model and its answers out: `values` output channels for each input channel.
 * A model of one feature takes a sample a frame; one of n features takes n samples, and its answer holds until the next.
 */
export async function createNode(context, plan, { channels = 1, url = new URL("./processor.js", import.meta.url) } = {}) {
  const [module, bytes] = await Promise.all([tidegate.engine(), plan, context.audioWorklet.addModule(url)]);
  const model = new tidegate.Model(module, bytes); // refused here, with its own words
  const values = model.outputs.reduce((sum, { width }) => sum + width, 0);
  model.free();
  const node = new AudioWorkletNode(context, "tidegate", {
    numberOfInputs: 1,
    numberOfOutputs: 1,
    channelCount: channels,
    channelCountMode: "explicit",
    channelInterpretation: "discrete",
    outputChannelCount: [channels * values],
    processorOptions: { module, plan: bytes, channels },
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
