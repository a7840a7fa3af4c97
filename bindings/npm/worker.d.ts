import type { Answer, Bytes, Chunk, Contract, GivenState, State } from "./tidegate.js";

export interface RemoteModel {
  stream(state?: GivenState): Promise<RemoteStream>;
  streams(rows: number): Promise<RemoteGroup>;
  digest(values: Bytes): Promise<string>;
  contract(): Promise<Contract>;
  backend(): Promise<string>;
  width(): Promise<number>;
  outputs(): Promise<{ width: number; timed: boolean }[]>;
  free(): Promise<void>;
}

export interface RemoteStream {
  push(chunk: Chunk): Promise<Answer>;
  finish(): Promise<Answer | null>;
  finished(): Promise<boolean>;
  reset(): Promise<void>;
  snapshot(): Promise<Uint8Array>;
  restore(snapshot: Bytes): Promise<void>;
  fork(): Promise<RemoteStream>;
  frames(): Promise<number>;
  refused(): Promise<number>;
  state(): Promise<State>;
  setState(state: GivenState): Promise<void>;
  states(): Promise<Float32Array[]>;
  free(): Promise<void>;
}

export interface RemoteGroup {
  push(chunks: Chunk, rows?: readonly number[]): Promise<Answer>;
  join(row?: number, state?: GivenState): Promise<number>;
  leave(row: number): Promise<void>;
  reset(row: number): Promise<void>;
  snapshot(row: number): Promise<Uint8Array>;
  restore(row: number, snapshot: Bytes): Promise<void>;
  fork(row: number): Promise<number>;
  frames(row: number): Promise<number>;
  refused(row: number): Promise<number>;
  state(row: number): Promise<State>;
  setState(row: number, state: GivenState): Promise<void>;
  states(row: number): Promise<Float32Array[]>;
  rows(): Promise<number>;
  joined(): Promise<number[]>;
  free(): Promise<void>;
}

/** Start the worker that `load` uses. */
export function startWorker(): Worker;
/** Load a model in a worker, so that long chunks do not hold up the page. */
export function load(plan: Bytes | Promise<Bytes>, worker?: Worker): Promise<RemoteModel>;
