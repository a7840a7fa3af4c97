import type { Bytes, Model } from "./tidegate.js";

export * from "./tidegate.js";

/** Load a model from the bytes of a plan, which `tidegate compile` writes. @throws PlanError, BackendError */
export function load(plan: Bytes | Promise<Bytes>): Promise<Model>;
/** The engine as a module, which may be posted to workers and worklets. */
export function engine(): Promise<WebAssembly.Module>;
