import type { Bytes } from "./tidegate.js";

export interface TidegateNode extends AudioWorkletNode {
  /** What executes the model, e.g. `wasm (wasm_simd128)`. */
  readonly backend: string;
  /** Samples of a frame. */
  readonly hop: number;
  /** Output channels for each input channel. */
  readonly values: number;
}

/** Make a node that gives its input to a model and the model's answers, or their first `values`, out. @throws PlanError, UnsupportedError */
export function createNode(
  context: BaseAudioContext,
  plan: Bytes | Promise<Bytes>,
  options?: { channels?: number; values?: number; url?: string | URL },
): Promise<TidegateNode>;
/** Blocks that the node's processor took so far, and pushes that were refused. */
export function countsOf(node: TidegateNode): Promise<{ blocks: number; refused: number }>;
