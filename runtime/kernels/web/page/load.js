// The model of this folder: its plan, and the engine trimmed to it.
import { BackendError, Model } from "./tidegate/tidegate.js";

export * from "./tidegate/tidegate.js";

/** Load the model; with `plan`, another plan of the same operators. */
export async function load(plan = bytesOf("model.tide")) {
  const [bytes, module] = await Promise.all([plan, engine()]);
  return new Model(module, bytes);
}

/** The engine as a module, which may be posted to workers and worklets: with vectors, where the browser has them. */
export async function engine() {
  const simd = await bytesOf("model.wasm");
  return WebAssembly.compile(WebAssembly.validate(simd) ? simd : await bytesOf("model-plain.wasm"));
}

async function bytesOf(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new BackendError(`${name}: the server answers ${answer.status}, wanted the file beside load.js`);
  return new Uint8Array(await answer.arrayBuffer());
}
