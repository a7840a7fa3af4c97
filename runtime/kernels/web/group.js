// Groups: many streams of one model in numbered rows, pushed together.
import { BackendError, ChunkError, RefusedRowsError, RowError, UnsupportedError, describeChunk } from "./errors.js";
import { forgotten } from "./engine.js";
import { Carrier, checkOut } from "./stream.js";

/** Streams of one model in rows; a row gives the bits that its stream gives alone. */
export class Group {
  #carrier;
  #memory;
  #group;
  #joined;
  #token = {};

  constructor(model, rows) {
    if (!Number.isInteger(rows) || rows < 1) throw new RowError(`${rows} streams in a group; wanted 1 or more`);
    this.#carrier = new Carrier(model);
    const { engine, calls } = this.#carrier;
    const bytes = calls.tide_group_bytes(model.address, rows) >>> 0;
    if (bytes === 0) {
      throw new UnsupportedError("the model looks ahead, so its rows would answer at different times; push its streams one by one");
    }
    this.#memory = engine.take(bytes);
    this.#group = calls.tide_group_init(this.#memory, model.address, rows);
    this.#joined = Array(rows).fill(true);
    forgotten.register(this, { engine, owned: [this.#memory] }, this.#token);
  }

  get #open() {
    if (this.#carrier === null) throw new BackendError("the group was freed; start another");
    return this.#carrier;
  }

  /** Rows, taken and free. */
  get rows() {
    return this.#joined.length;
  }

  /** Rows with a stream, ascending: those that a push without `rows` takes. */
  get joined() {
    return this.#joined.flatMap((taken, row) => (taken ? [row] : []));
  }

  #there(row) {
    if (!Number.isInteger(row) || row < 0 || row >= this.rows) {
      throw new RowError(`row ${row} is not there; the group has rows 0 to ${this.rows - 1}`);
    }
    return row;
  }

  #taken(row) {
    if (!this.#joined[this.#there(row)]) throw new RowError(`row ${row} has not joined; join it first`);
    return row;
  }

  #stream(row) {
    return this.#open.calls.tide_group_stream(this.#group, this.#taken(row));
  }

  #firstFree() {
    const row = this.#joined.indexOf(false);
    if (row < 0) throw new RowError(`all ${this.rows} rows have joined; leave one first, or start a larger group`);
    return row;
  }

  /**
   * Stream a chunk of each row.
   * @param {Float32Array | number[] | Object<string, Float32Array>} chunks frames of the first row, then of the next
   * @param {number[]} [rows] the rows, each once; the others rest
   * @param {Float32Array} [out] written and returned in place of a fresh array; for models with one output
   */
  push(chunks, rows = this.joined, out = undefined) {
    const { model } = this.#open;
    rows.forEach((row) => this.#taken(row));
    const twice = rows.find((row, i) => rows.indexOf(row) !== i);
    if (twice !== undefined) throw new RowError(`row ${twice} is named twice; push its chunks one after the other`);
    const frames = model.framesOf(chunks);
    const count = rows.length ? frames.length / rows.length / model.width : 0;
    if (!Number.isInteger(count) || (rows.length === 0 && frames.length > 0)) {
      throw new ChunkError(`chunks have ${frames.length} values, wanted equally many frames of ${model.width} for ${rows.length} rows`);
    }
    const widths = model.outputs.map(({ width, timed }) => width * (timed ? count : Math.min(count, 1)));
    if (out !== undefined) checkOut(model, out, rows.length * widths[0]);
    return this.#run(frames, rows, count, widths, out);
  }

  #run(frames, rows, count, widths, out) {
    const { model, engine, calls } = this.#open;
    const owned = [];
    const take = (words) => (owned.push(engine.take(4 * words)), owned.at(-1));
    try {
      const [rowsAt, framesAt, statusAt, outputsAt] = [rows.length, frames.length, rows.length, widths.length].map(take);
      const answersAt = widths.map((width) => take(rows.length * width));
      engine.words.set(rows, rowsAt / 4);
      engine.words.set(answersAt, outputsAt / 4);
      engine.floats.set(frames, framesAt / 4);
      const status = calls.tide_group_push(this.#group, rowsAt, rows.length, framesAt, count, outputsAt, statusAt);
      const answers = answersAt.map((at, i) => engine.floats.slice(at / 4, at / 4 + rows.length * widths[i]));
      if (out !== undefined) out.set(answers[0]);
      const all = model.byName(out === undefined ? answers : [out]);
      if (status !== 0) throw this.#refusal(all, frames, rows, count, engine.words.slice(statusAt / 4, statusAt / 4 + rows.length));
      return all;
    } finally {
      owned.forEach((at) => engine.give(at));
    }
  }

  #refusal(answers, frames, rows, count, statuses) {
    const { model } = this.#open;
    const refused = new Map();
    statuses.forEach((status, i) => {
      if (status !== 0) refused.set(rows[i], describeChunk(status | 0, model, frames, i * count * model.width, count));
    });
    return new RefusedRowsError(answers, refused, rows.length);
  }

  /** Start a stream in a free row, from the initial state or from states given by name; return the row. */
  join(row = this.#firstFree(), state = {}) {
    const { calls, model } = this.#open;
    if (this.#joined[this.#there(row)]) throw new RowError(`row ${row} has joined; leave it first, or reset it`);
    model.vectorsOf(state); // refused before the row joins
    calls.tide_group_join(this.#group, row);
    this.#joined[row] = true;
    this.setState(row, state);
    return row;
  }

  /** End the stream in a row; what it carried is cleared at once. */
  leave(row) {
    this.#open.calls.tide_group_leave(this.#group, this.#taken(row));
    this.#joined[row] = false;
  }

  /** Make the stream in a row as new. */
  reset(row) {
    this.#open.calls.tide_reset(this.#stream(row));
  }

  /** Return the stream in a row as bytes, which any stream or row of the model goes on from. */
  snapshot(row) {
    return this.#open.snapshotOf(this.#stream(row));
  }

  /** Go on in a row from a snapshot. */
  restore(row, snapshot) {
    this.#open.restoreTo(this.#stream(row), snapshot);
  }

  /** Start a stream in the first free row, from the state of another; return the new row. */
  fork(row) {
    const snapshot = this.snapshot(row);
    const other = this.join();
    this.restore(other, snapshot);
    return other;
  }

  /** Frames that a row consumed since its stream was new. */
  frames(row) {
    return this.#open.framesOf(this.#stream(row));
  }

  /** Frames of a row's chunks that were refused. */
  refused(row) {
    return this.#open.refusedOf(this.#stream(row));
  }

  /** Return copies of a row's state vectors, in the order of the plan. */
  states(row) {
    return this.#open.statesOf(this.#stream(row));
  }

  /** Return a copy of a row's state by the contract's input names. */
  state(row) {
    return this.#open.stateOf(this.#stream(row));
  }

  /** Go on in a row from given states. */
  setState(row, state) {
    this.#open.setStateOf(this.#stream(row), state);
  }

  /** Give the memory back, cleared; the group cannot be used any more. */
  free() {
    if (this.#carrier === null) return;
    forgotten.unregister(this.#token);
    this.#carrier.engine.give(this.#memory);
    this.#carrier = null;
  }
}
