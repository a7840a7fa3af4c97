// Models, as in Python: a plan, made ready in an instance of the engine of its own.
import { Engine, asBytes } from "./engine.js";
import { BackendError, ChunkError, PlanError, StateError, describePlan } from "./errors.js";
import { Group } from "./group.js";
import { Stream } from "./stream.js";
import { readText } from "./text.js";

const LARGEST = 2 ** 64;

/** A loaded model; it is read-only and serves any number of streams. */
export class Model {
  #engine;
  #plan;
  #text = null;

  /**
   * @param {WebAssembly.Module | BufferSource} module the engine
   * @param {BufferSource} plan a compiled plan
   */
  constructor(module, plan) {
    const bytes = asBytes(plan);
    const engine = new Engine(module);
    const calls = engine.calls;
    this.#engine = engine;
    this.#plan = bytes.slice();
    const at = engine.keep(bytes);
    const [status, fault] = engine.judge((room) => calls.tide_plan_check(at, bytes.length, room));
    if (status !== 0) throw new PlanError(describePlan(fault));
    const variant = calls.tide_variant_best();
    this.address = calls.tide_model_init(engine.take(calls.tide_model_bytes(at, variant) >>> 0), at, variant);
    this.isa = engine.text(calls.tide_variant_name(variant));
    this.ids = calls.tide_input_ids(this.address) >>> 0;
    this.width = calls.tide_input_width(this.address) >>> 0;
    this.limit = calls.tide_limit(this.address) >>> 0;
    const count = (of) => Array.from({ length: of(this.address) }, (_, i) => i);
    this.outputs = count(calls.tide_output_count).map((i) => ({
      width: calls.tide_output_width(this.address, i), timed: calls.tide_output_timed(this.address, i) === 1,
    }));
    this.stateWidths = count(calls.tide_state_count).map((i) => calls.tide_state_width(this.address, i));
    if (this.outputs.length > 1) this.text; // several outputs come by name
  }

  /** The text of the plan, read at the first use. */
  get text() {
    this.#text ??= readText(this.#plan, { outputs: this.outputs.map(({ width }) => width), states: this.stateWidths });
    return this.#text;
  }

  /** What the file says of its streaming. */
  get contract() {
    return this.text.contract;
  }

  /** What executes it, e.g. `wasm (wasm_simd128)`. */
  get backend() {
    return `wasm (${this.isa})`;
  }

  /** The instance that the model and its streams are in. */
  get engine() {
    if (this.#engine === null) throw new BackendError("the model was freed; load it again");
    return this.#engine;
  }

  /** Start a stream from the model's initial state, or from states given by name. */
  stream(state = {}) {
    const stream = new Stream(this);
    try {
      stream.setState(state);
    } catch (error) {
      stream.free();
      throw error;
    }
    return stream;
  }

  /** Start streams in a group of so many rows, all joined. */
  streams(rows) {
    return new Group(this, rows);
  }

  /** Let go of the memory of the model and of all its streams, which then cannot be used. */
  free() {
    this.#engine = null;
  }

  /** Return the hash of answers or other bytes: `hashlib.blake2b(bytes, digest_size=32)` of Python, in digits. */
  digest(values) {
    return this.engine.digest(values);
  }

  /** Frames as the engine reads them: `rows` times equally many frames, signals side by side. */
  framesOf(chunk) {
    if (chunk instanceof Float32Array) return chunk;
    const named = !ArrayBuffer.isView(chunk) && !Array.isArray(chunk) && chunk !== null && typeof chunk === "object";
    return named ? sideBySide(this.#signals, chunk, this) : asFloats(chunk, this.ids);
  }

  get #signals() {
    const { pieces, contract } = this.text;
    return pieces.length ? pieces : [{ name: contract.inputs[0].name, first: 0, features: this.width }];
  }

  /** The signal of a feature, and its number there. */
  placeOf(feature) {
    const piece = this.text.pieces.find(({ first, features }) => feature < first + features);
    return piece ? [piece.name, feature - piece.first] : [null, feature];
  }

  /** The answers of all outputs as a push returns them: one array, or several by name. */
  byName(answers) {
    if (answers.length === 1) return answers[0];
    return Object.fromEntries(this.text.outputs.map((name, i) => [name, answers[i]]));
  }

  /** States by name, from the engine's vectors. */
  stateOf(vectors) {
    const states = Object.create(null);
    for (const [name, { size }] of this.text.states) states[name] = new Float32Array(size);
    this.text.places.forEach((place, i) => place && states[place.name].set(vectors[i], place.at));
    return states;
  }

  /** The engine's vectors of states given by name; null for those that are not given. */
  vectorsOf(state) {
    const names = Object.keys(state);
    if (names.length === 0) return [];
    const known = this.text.states;
    const given = new Map(names.map((name) => [name, stateValues(known, name, state[name])]));
    return this.text.places.map((place, i) => {
      const values = place && given.get(place.name);
      return values ? values.subarray(place.at, place.at + this.stateWidths[i]) : null;
    });
  }
}

function stateValues(known, name, given) {
  if (!known.has(name)) throw new StateError(`state '${name}' is not one of the model, which has ${[...known.keys()].join(", ") || "none"}`);
  const { size } = known.get(name);
  if (!(given instanceof Float32Array || Array.isArray(given)) || given.length !== size) {
    throw new StateError(`state '${name}' has ${given?.length} values, wanted a Float32Array of ${size}`);
  }
  const values = Float32Array.from(given);
  const odd = values.find((value) => !(Math.abs(value) <= LARGEST));
  if (odd !== undefined) throw new StateError(`state '${name}' holds ${odd}, wanted finite values up to 2^64`);
  return values;
}

function asFloats(values, ids) {
  if (values instanceof Float32Array) return values;
  const fits = ids ? ArrayBuffer.isView(values) && !(values instanceof DataView) : false;
  if (fits || Array.isArray(values)) return Float32Array.from(values, Number);
  const seen = values?.constructor?.name ?? String(values);
  throw new ChunkError(`chunk is ${seen}, wanted a Float32Array or an array of numbers`);
}

function sideBySide(signals, chunk, { width, ids }) {
  const names = signals.map(({ name }) => name);
  for (const name of Object.keys(chunk)) {
    if (!names.includes(name)) throw new ChunkError(`chunk has a signal '${name}', which the model has not; it has ${names.join(", ")}`);
  }
  const parts = signals.map(({ name, features }) => {
    if (!Object.hasOwn(chunk, name)) throw new ChunkError(`chunk has no signal '${name}'; the model has ${names.join(", ")}`);
    const values = asFloats(chunk[name], ids);
    if (values.length % features) throw new ChunkError(`signal '${name}' has ${values.length} values, wanted ${features} a frame`);
    return values;
  });
  if (parts.length === 1) return parts[0];
  const counts = signals.map(({ features }, i) => parts[i].length / features);
  const other = counts.findIndex((count) => count !== counts[0]);
  if (other > 0) throw new ChunkError(`signals '${names[other]}' and '${names[0]}' have ${counts[other]} and ${counts[0]} frames, wanted the same number of each`);
  const frames = new Float32Array(counts[0] * width);
  signals.forEach(({ first, features }, signal) => {
    const values = parts[signal];
    for (let i = 0; i < values.length; i++) frames[Math.floor(i / features) * width + first + (i % features)] = values[i];
  });
  return frames;
}
