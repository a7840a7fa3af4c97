import type { Bytes, Model } from "./tidegate/tidegate.js";

export * from "./tidegate/tidegate.js";

/** Load the model of this folder; with `plan`, another plan of the same operators. */
export function load(plan?: Bytes | Promise<Bytes>): Promise<Model>;
/** The engine as a module, which may be posted to workers and worklets. */
export function engine(): Promise<WebAssembly.Module>;
