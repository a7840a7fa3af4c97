// A model in a worker, so that long chunks do not hold up the page: every call returns a promise.
import * as tidegate from "./index.js";

// What may be called on each kind of object; a getter becomes a function.
const CALLS = {
  Model: ["stream", "streams", "digest", "free", "contract", "backend", "width", "outputs"],
  Stream: ["push", "finish", "finished", "reset", "snapshot", "restore", "fork", "frames", "refused", "state", "setState", "states", "free"],
  Group: ["push", "join", "leave", "reset", "snapshot", "restore", "fork", "frames", "refused", "state", "setState", "states", "rows", "joined", "free"],
};

function errorOf({ name, message, ...more }) {
  const kind = Object.hasOwn(tidegate, name) ? tidegate[name] : tidegate.TidegateError;
  return Object.assign(Object.setPrototypeOf(new Error(message), kind.prototype), more);
}

class Line {
  #waiting = new Map();
  #last = 0;

  constructor(worker) {
    this.worker = worker;
    worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.#waiting.get(data.call);
      this.#waiting.delete(data.call);
      if (data.error) reject(errorOf(data.error));
      else resolve(data.kind ? this.#remote(data.kind, data.number) : data.value);
    };
    worker.onerror = (event) => {
      for (const { reject } of this.#waiting.values()) reject(new tidegate.BackendError(`the worker fails: ${event.message}`));
      this.#waiting.clear();
    };
  }

  #remote(kind, number) {
    const calls = CALLS[kind].map((name) => [name, (...given) => this.ask(number, name, given)]);
    return Object.freeze(Object.fromEntries(calls));
  }

  ask(number, name, given) {
    const call = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(call, { resolve, reject });
      this.worker.postMessage({ call, number, name, given });
    });
  }
}

/** Start the worker; a bundler finds its script by this line. */
export function startWorker() {
  return new Worker(new URL("./worker-script.js", import.meta.url), { type: "module" });
}

/** Load a model in a worker. Its methods and those of its streams and groups are Python's, and return promises. */
export async function load(plan, worker = startWorker()) {
  return new Line(worker).ask(0, "load", [await tidegate.engine(), await plan]);
}
