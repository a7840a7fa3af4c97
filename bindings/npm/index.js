// tidegate for pages, workers and Node: the engine comes with the package, and nothing is fetched.
import { PLAIN, VECTORS } from "./modules.js";
import { Model } from "./tidegate.js";

export * from "./tidegate.js";

const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
let promised = null;

/** The engine as a module, which may be posted to workers and worklets: with vectors, where there are any. */
export function engine() {
  promised ??= (() => {
    const vectors = bytesOf(VECTORS);
    return WebAssembly.compile(WebAssembly.validate(vectors) ? vectors : bytesOf(PLAIN));
  })();
  return promised;
}

/** Load a model from the bytes of a plan, which `tidegate compile` writes. */
export async function load(plan) {
  return new Model(await engine(), await plan);
}
