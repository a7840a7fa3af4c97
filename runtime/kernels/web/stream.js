// Streams: one sequence in progress.
import { BackendError, ChunkError, FINISHED, SnapshotError, StateError, describeChunk, describeSnapshot } from "./errors.js";
import { asBytes, forgotten } from "./engine.js";

/** What streams and the rows of groups share: calls about one stream of the engine. */
export class Carrier {
  constructor(model) {
    this.model = model;
    this.engine = model.engine;
    this.calls = this.engine.calls;
  }

  snapshotOf(stream) {
    const at = this.engine.take(this.calls.tide_snapshot_bytes(this.model.address));
    const bytes = this.engine.bytes.slice(at, at + this.calls.tide_snapshot(stream, at));
    this.engine.give(at);
    return bytes;
  }

  restoreTo(stream, snapshot) {
    const bytes = asBytes(snapshot);
    const at = this.engine.keep(bytes);
    const [status, fault] = this.engine.judge((room) => this.calls.tide_restore(stream, at, bytes.length, room));
    this.engine.give(at);
    if (status !== 0) throw new SnapshotError(describeSnapshot(fault));
  }

  statesOf(stream) {
    return this.model.stateWidths.map((width, i) => {
      const at = this.engine.take(4 * width);
      this.calls.tide_state_read(stream, i, at);
      const values = this.engine.floats.slice(at / 4, at / 4 + width);
      this.engine.give(at);
      return values;
    });
  }

  framesOf(stream) {
    return Number(BigInt.asUintN(64, this.calls.tide_frames(stream)));
  }

  refusedOf(stream) {
    return Number(BigInt.asUintN(64, this.calls.tide_refused(stream)));
  }

  stateOf(stream) {
    return this.model.stateOf(this.statesOf(stream));
  }

  setStateOf(stream, state) {
    this.model.vectorsOf(state).forEach((values, i) => {
      if (values === null) return;
      const at = this.engine.keep(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      const status = this.calls.tide_state_write(stream, i, at);
      this.engine.give(at);
      if (status !== 0) throw new StateError(FINISHED);
    });
  }
}

/** One sequence in progress: a model plus its state. */
export class Stream {
  #carrier;
  #stream;
  #owned; // addresses: the stream, its frames, its answers, and where they lie
  #rooms; // frames and floats that fit
  #rows; // of each output: rows of the last answers
  #token = {};

  constructor(model) {
    this.#carrier = new Carrier(model);
    const { engine, calls } = this.#carrier;
    const outputs = engine.take(4 * model.outputs.length);
    this.#owned = [engine.take(calls.tide_stream_bytes(model.address) >>> 0), 0, 0, outputs];
    this.#rooms = [0, 0];
    this.#rows = new Uint32Array(model.outputs.length);
    this.#stream = calls.tide_stream_init(this.#owned[0], model.address);
    forgotten.register(this, { engine, owned: this.#owned }, this.#token);
  }

  get model() {
    return this.#open.model;
  }

  get #open() {
    if (this.#carrier === null) throw new BackendError("the stream was freed; start another");
    return this.#carrier;
  }

  /**
   * Make room for pushes of so many frames, so that no push or run takes memory.
   * @returns {Stream}
   */
  reserve(frames) {
    const { model } = this.#open;
    this.#fit(0, frames * model.width);
    this.#fit(1, model.outputs.reduce((sum, { width }) => sum + width * (frames + 1), 0));
    return this;
  }

  #fit(which, floats) {
    if (floats <= this.#rooms[which] && this.#owned[1 + which]) return;
    const { engine } = this.#open;
    engine.give(this.#owned[1 + which]);
    this.#owned[1 + which] = 0; // if the next line throws, it is not given twice
    this.#owned[1 + which] = engine.take(4 * floats);
    this.#rooms[which] = floats;
  }

  /** The place of the frames in the floats of `model.engine`, for `run`; valid until a larger push. */
  get frameAt() {
    return this.#owned[1] / 4;
  }

  /** The place of the answers of the last `run` there, output after output. */
  get answerAt() {
    return this.#owned[2] / 4;
  }

  /**
   * Push frames that are at `frameAt` already; answers are at `answerAt`. Nothing is allocated and nothing is thrown if
   * `reserve` made room. @returns {number} 0, or why the frames are refused
   */
  run(count) {
    this.#count((this.#carrier ?? this.#open).calls.tide_rows, count);
    return this.#pushed(count);
  }

  // Rows that the next answers have; `tide_rest` takes no count.
  #count(rowsOf, count = 0) {
    for (let i = 0; i < this.#rows.length; i++) this.#rows[i] = rowsOf(this.#stream, i, count);
  }

  // Makes room for the answers that were counted, and says where each output goes.
  #place() {
    const { model, engine } = this.#carrier;
    let floats = 0;
    for (let i = 0; i < this.#rows.length; i++) floats += this.#rows[i] * model.outputs[i].width;
    this.#fit(1, floats);
    let at = this.#owned[2];
    const words = engine.words;
    for (let i = 0; i < this.#rows.length; i++) {
      words[this.#owned[3] / 4 + i] = at;
      at += 4 * this.#rows[i] * model.outputs[i].width;
    }
  }

  #pushed(count) {
    this.#place();
    return this.#carrier.calls.tide_push(this.#stream, this.#owned[1], count, this.#owned[3]);
  }

  /** Rows of each output that a push of `count` frames will answer. */
  rows(count, output = 0) {
    return this.#open.calls.tide_rows(this.#stream, output, count) >>> 0;
  }

  /**
   * Stream a chunk; the state carries over to the next.
   * @param {Float32Array | number[] | Object<string, Float32Array>} chunk frames, one after the other
   * @param {Float32Array} [out] written and returned in place of a fresh array; for models with one output
   */
  push(chunk, out) {
    const { model, calls } = this.#open;
    const frames = model.framesOf(chunk);
    if (frames.length % model.width) throw new ChunkError(`chunk has ${frames.length} values, wanted ${model.width} a frame`);
    if (calls.tide_finished(this.#stream)) throw new ChunkError(FINISHED);
    const count = frames.length / model.width;
    this.#count(calls.tide_rows, count);
    if (out !== undefined) checkOut(model, out, this.#rows[0] * model.outputs[0].width);
    this.#fit(0, frames.length);
    model.engine.floats.set(frames, this.frameAt);
    const status = this.#pushed(count);
    if (status !== 0) throw new ChunkError(describeChunk(status, model, frames, 0, count));
    return this.#answers(out);
  }

  #answers(out) {
    const { model, engine } = this.#open;
    let at = this.answerAt;
    if (out !== undefined) {
      out.set(engine.floats.subarray(at, at + out.length));
      return out;
    }
    const answers = model.outputs.map(({ width }, i) => engine.floats.slice(at, (at += this.#rows[i] * width)));
    return model.byName(answers);
  }

  /** End the stream; return what a lookahead still holds back, or null. */
  finish() {
    const { calls } = this.#open;
    this.#count(calls.tide_rest);
    this.#place();
    const status = calls.tide_finish(this.#stream, this.#owned[3]);
    if (status === -5) throw new ChunkError(FINISHED);
    if (status !== 0) throw new ChunkError("a value inside the model left 2^64 at the end; stream unchanged");
    return this.#rows.some((count) => count > 0) ? this.#answers() : null;
  }

  /** Whether `finish` ended the stream. */
  get finished() {
    return this.#open.calls.tide_finished(this.#stream) === 1;
  }

  /** Make the stream as new. */
  reset() {
    this.#open.calls.tide_reset(this.#stream);
  }

  /** Return the stream as bytes, which any stream of the same plan goes on from: in Python and in C too. */
  snapshot() {
    return this.#open.snapshotOf(this.#stream);
  }

  /** Go on from where a snapshot was taken. */
  restore(snapshot) {
    this.#open.restoreTo(this.#stream, snapshot);
  }

  /** Return another stream of the model, which goes on from the same state. */
  fork() {
    const other = new Stream(this.#open.model);
    other.restore(this.snapshot());
    return other;
  }

  /** Frames consumed since the stream was new. */
  get frames() {
    return this.#open.framesOf(this.#stream);
  }

  /** Frames of chunks that were refused. */
  get refused() {
    return this.#open.refusedOf(this.#stream);
  }

  /** Return copies of the engine's state vectors, in the order of the plan. */
  states() {
    return this.#open.statesOf(this.#stream);
  }

  /** Return a copy of the state by the contract's input names. */
  state() {
    return this.#open.stateOf(this.#stream);
  }

  /** Go on from given states; those that are not given stay as they are. */
  setState(state) {
    this.#open.setStateOf(this.#stream, state);
  }

  /** Give the memory back, cleared; the stream cannot be used any more. */
  free() {
    if (this.#carrier === null) return;
    forgotten.unregister(this.#token);
    this.#owned.forEach((at) => this.#carrier.engine.give(at));
    this.#carrier = null;
  }
}

export function checkOut(model, out, floats) {
  if (model.outputs.length !== 1) throw new ChunkError("out has no effect: the model has several outputs, which come by name");
  if (!(out instanceof Float32Array) || out.length !== floats) {
    throw new ChunkError(`out has ${out?.length} values, wanted a Float32Array of ${floats}`);
  }
}
