// The AudioWorklet processor "tidegate": audio in, answers out. Nothing is allocated after the constructor.
import { Model, UnsupportedError } from "./tidegate.js";

const MOST_BLOCK = 16384; // samples of a block; a larger one is taken in pieces

class TidegateProcessor extends AudioWorkletProcessor {
  constructor({ processorOptions: { module, plan, channels, values } }) {
    super();
    this.ok = false;
    try {
      this.open(module, plan, channels, values);
      this.ok = true;
      this.port.postMessage({ ready: true, backend: this.model.backend, hop: this.hop, values: this.values });
    } catch (error) {
      this.port.postMessage({ error: { name: error.name, message: error.message } });
    }
    // The page asks for the counts, so that nothing is posted unasked.
    this.port.onmessage = () => this.port.postMessage({ blocks: this.blocks, refused: this.refused });
  }

  open(module, plan, channels, values) {
    this.model = new Model(module, plan);
    const { width, outputs, ids, contract } = this.model;
    if (ids) throw new UnsupportedError("the model reads ids, wanted one that reads samples");
    if (contract.blocks) throw new UnsupportedError("the model answers block by block, wanted answers for each frame");
    if (outputs.some(({ timed }) => !timed) && width === 1) {
      throw new UnsupportedError("the model answers once a push, wanted an answer for each sample");
    }
    this.hop = width; // samples of a frame
    this.values = values; // of an answer that come out, the first ones
    const frames = Math.ceil(MOST_BLOCK / width) + 1;
    this.streams = Array.from({ length: channels }, () => this.model.stream().reserve(this.batch = width === 1 ? frames : 1));
    this.filled = 0; // samples of the next frame that are there
    this.held = Array.from({ length: channels }, () => new Float32Array(this.values)); // the last answer
    this.blocks = 0;
    this.refused = 0;
  }

  process([input], [output]) {
    if (!this.ok) return false;
    const length = output[0].length;
    for (let at = 0; at < length; at += MOST_BLOCK) this.piece(input, output, at, Math.min(length, at + MOST_BLOCK));
    this.blocks++;
    return true;
  }

  piece(input, output, from, to) {
    let next = this.filled;
    for (let channel = 0; channel < this.streams.length; channel++) {
      const samples = input[channel] ?? input[0]; // undefined: nothing is connected, which is silence
      if (this.hop === 1) this.each(channel, samples, output, from, to);
      else next = this.framed(channel, samples, output, from, to);
    }
    this.filled = next;
  }

  // One sample a frame: the whole block in one push. Answers that come late end with the block.
  each(channel, samples, output, from, to) {
    const stream = this.streams[channel];
    const count = to - from;
    const floats = this.model.engine.floats;
    const at = stream.frameAt;
    for (let i = 0; i < count; i++) floats[at + i] = samples === undefined ? 0 : samples[from + i];
    const rows = stream.rows(count);
    const good = stream.run(count) === 0;
    if (!good) this.refused++;
    const first = count - rows;
    let values = stream.answerAt;
    let place = channel * this.values;
    const end = place + this.values;
    for (let o = 0; o < this.model.outputs.length; o++) {
      const width = this.model.outputs[o].width;
      for (let v = 0; v < width; v++, place++) {
        const out = place < end ? output[place] : undefined;
        if (out === undefined) continue;
        for (let i = 0; i < count; i++) out[from + i] = good && i >= first ? floats[values + (i - first) * width + v] : 0;
      }
      values += rows * width;
    }
  }

  // Several samples a frame: an answer holds until the next frame is full.
  framed(channel, samples, output, from, to) {
    const stream = this.streams[channel];
    const held = this.held[channel];
    const floats = this.model.engine.floats;
    let filled = this.filled;
    for (let i = from; i < to; i++) {
      floats[stream.frameAt + filled++] = samples === undefined ? 0 : samples[i];
      if (filled === this.hop) {
        filled = 0;
        const answered = stream.rows(1) > 0;
        if (stream.run(1) !== 0) this.refused++;
        else if (answered) for (let v = 0; v < this.values; v++) held[v] = floats[stream.answerAt + v];
      }
      for (let v = 0; v < this.values; v++) {
        const out = output[channel * this.values + v];
        if (out !== undefined) out[i] = held[v];
      }
    }
    return filled;
  }
}

registerProcessor("tidegate", TidegateProcessor);
