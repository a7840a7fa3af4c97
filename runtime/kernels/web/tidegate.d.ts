/** Bytes, wherever they lie; `BufferSource` would refuse a Buffer of Node. */
export type Bytes = ArrayBuffer | ArrayBufferView;
/** Values of one or more frames, one frame after the other; several signals by name. */
export type Chunk = Float32Array | number[] | { readonly [signal: string]: Float32Array | number[] };
/** Answers of one output, one row after the other; several outputs by name. */
export type Answer = Float32Array | { [output: string]: Float32Array };
export type State = { [input: string]: Float32Array };
export type GivenState = { readonly [input: string]: Float32Array | number[] };

/** What a file says of its streaming; see docs/contract.md. */
export interface Contract {
  version: number;
  inputs: { name: string; time_axis: number | null; batch_axis: number | null }[];
  outputs: { name: string; time_axis: number | null; batch_axis: number | null }[];
  states: { input: string; output: string; kind: string; shape: (number | string)[]; initial: string }[];
  lookahead: number | null;
  sample_rate: number | null;
  hop: number | null;
  pieces?: { name: string; shape: number[] }[];
}

/** A loaded model; it is read-only and serves any number of streams. */
export class Model {
  /** @throws PlanError, BackendError */
  constructor(module: WebAssembly.Module | Bytes, plan: Bytes);
  readonly contract: Contract;
  /** What executes it, e.g. `wasm (wasm_simd128)`. */
  readonly backend: string;
  readonly isa: string;
  /** Features of a frame. */
  readonly width: number;
  /** The number of ids that a model of ids knows, else 0. */
  readonly ids: number;
  /** The largest number of frames of a stream whose answers come at its end, else 0. */
  readonly limit: number;
  readonly outputs: readonly { readonly width: number; readonly timed: boolean }[];
  readonly stateWidths: readonly number[];
  /** The instance that the model and its streams are in: for code that runs without allocation. */
  readonly engine: Engine;
  /** Start a stream from the initial state, or from states given by name. @throws StateError */
  stream(state?: GivenState): Stream;
  /** Start streams in a group of so many rows, all joined. @throws RowError, UnsupportedError */
  streams(rows: number): Group;
  /** The hash of answers or bytes: BLAKE2b of 32 bytes, in hexadecimal digits. */
  digest(values: Bytes): string;
  /** Let go of the memory of the model and of all its streams. */
  free(): void;
}

export interface Engine {
  readonly floats: Float32Array;
  readonly bytes: Uint8Array;
}

/** One sequence in progress: a model plus its state. */
export class Stream {
  private constructor();
  readonly model: Model;
  /** Stream a chunk; the state carries over to the next. @throws ChunkError: the state is unchanged */
  push(chunk: Chunk): Answer;
  push(chunk: Chunk, out: Float32Array): Float32Array;
  /** End the stream; return what a lookahead still holds back, or null. */
  finish(): Answer | null;
  readonly finished: boolean;
  reset(): void;
  /** The stream as bytes, which any stream of the same plan goes on from: in Python and in C too. */
  snapshot(): Uint8Array;
  /** @throws SnapshotError: the stream is unchanged */
  restore(snapshot: Bytes): void;
  fork(): Stream;
  /** Frames consumed since the stream was new. */
  readonly frames: number;
  /** Frames of chunks that were refused. */
  readonly refused: number;
  /** A copy of the state by the contract's input names. */
  state(): State;
  /** @throws StateError: the stream is unchanged */
  setState(state: GivenState): void;
  /** Copies of the engine's state vectors, in the order of the plan. */
  states(): Float32Array[];
  /** Rows of an output that a push of `count` frames will answer. */
  rows(count: number, output?: number): number;
  /** Make room for pushes of so many frames, so that no `run` takes memory. */
  reserve(frames: number): this;
  /** The place of the frames in `model.engine.floats`, for `run`. */
  readonly frameAt: number;
  /** The place of the answers of the last `run` there, output after output. */
  readonly answerAt: number;
  /** Push frames that are at `frameAt`; 0, or a status below 0 if they are refused. Allocates nothing. */
  run(count: number): number;
  /** Give the memory back, cleared. */
  free(): void;
}

/** Streams of one model in numbered rows; a row gives the bits that its stream gives alone. */
export class Group {
  private constructor();
  readonly rows: number;
  /** Rows with a stream, ascending. */
  readonly joined: number[];
  /** @throws RefusedRowsError, ChunkError, RowError */
  push(chunks: Chunk, rows?: readonly number[]): Answer;
  push(chunks: Chunk, rows: readonly number[], out: Float32Array): Float32Array;
  join(row?: number, state?: GivenState): number;
  leave(row: number): void;
  reset(row: number): void;
  snapshot(row: number): Uint8Array;
  restore(row: number, snapshot: Bytes): void;
  fork(row: number): number;
  frames(row: number): number;
  refused(row: number): number;
  state(row: number): State;
  setState(row: number, state: GivenState): void;
  states(row: number): Float32Array[];
  free(): void;
}

export class TidegateError extends Error {}
export class ModelError extends TidegateError {}
export class UnsupportedError extends ModelError {}
export class PlanError extends ModelError {}
export class ChunkError extends TidegateError {}
export class RefusedRowsError extends ChunkError {
  readonly answers: Answer;
  readonly refused: ReadonlyMap<number, string>;
}
export class RowError extends TidegateError {}
export class StateError extends TidegateError {}
export class SnapshotError extends TidegateError {}
export class BackendError extends TidegateError {}
