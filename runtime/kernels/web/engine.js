// One instance of the engine: its memory, and what all calls share.
import { BackendError } from "./errors.js";

const PAGES = "more memory than the browser gives; free() streams and models that are not needed";

/** Return whether bytes or a compiled module are there, as a compiled module. */
export function compiled(module) {
  if (module instanceof WebAssembly.Module) return module;
  try {
    return new WebAssembly.Module(module);
  } catch (error) {
    throw new BackendError(`the engine's module does not compile: ${error.message}`);
  }
}

/** Bytes of a plan, a snapshot or a module, wherever they lie in their buffer. */
export function asBytes(source) {
  if (source instanceof Uint8Array) return source;
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  throw new BackendError(`bytes are ${source?.constructor?.name ?? source}, wanted an ArrayBuffer or a Uint8Array`);
}

/** What nobody holds any more gives its memory back; an engine goes with the last of them. */
export const forgotten = new FinalizationRegistry(({ engine, owned }) => owned.forEach((at) => engine.give(at)));

export class Engine {
  constructor(module) {
    this.calls = new WebAssembly.Instance(compiled(module), {}).exports;
    this.#look();
  }

  // Memory that grows is another buffer, and views of the old one are empty. (To ask for the buffer takes 0.1 us.)
  #look() {
    const { buffer } = this.calls.memory;
    this.bytesView = new Uint8Array(buffer);
    this.floatsView = new Float32Array(buffer);
    this.wordsView = new Uint32Array(buffer);
  }

  get bytes() {
    if (this.bytesView.length === 0) this.#look();
    return this.bytesView;
  }

  get floats() {
    if (this.floatsView.length === 0) this.#look();
    return this.floatsView;
  }

  get words() {
    if (this.wordsView.length === 0) this.#look();
    return this.wordsView;
  }

  /** Take memory on a cache line; return its address. */
  take(bytes) {
    const at = bytes > 0xffffffff ? 0 : this.calls.web_take(Math.max(1, bytes)) >>> 0;
    if (at === 0) throw new BackendError(`a model or stream needs ${bytes} bytes, ${PAGES}`);
    return at;
  }

  give(at) {
    if (at) this.calls.web_give(at);
  }

  /** Copy bytes into memory of their own. */
  keep(bytes) {
    const at = this.take(bytes.length);
    this.bytes.set(bytes, at);
    return at;
  }

  /** Return the hash of bytes or floats, BLAKE2b of 32 bytes, in hexadecimal digits. */
  digest(values) {
    const bytes = asBytes(values);
    const from = this.keep(bytes);
    const to = this.take(32);
    this.calls.web_digest(from, bytes.length, to);
    const digits = Array.from(this.bytes.subarray(to, to + 32), (byte) => byte.toString(16).padStart(2, "0"));
    this.give(from);
    this.give(to);
    return digits.join("");
  }

  text(at) {
    const bytes = this.bytes;
    let text = "";
    while (bytes[at]) text += String.fromCharCode(bytes[at++]);
    return text;
  }

  /** Call with room for a fault; return the status and the fault. */
  judge(call) {
    const at = this.take(24);
    const status = call(at);
    const words = this.words;
    const big = (word) => BigInt(words[word]) | (BigInt(words[word + 1]) << 32n);
    const fault = status === 0 ? null : { field: this.text(words[at / 4]), op: words[at / 4 + 1], seen: big(at / 4 + 2), wanted: big(at / 4 + 4) };
    this.give(at);
    return [status, fault];
  }
}
