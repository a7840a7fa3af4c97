// The exceptions of tidegate, by the names that they have in Python.

export class TidegateError extends Error {
  get name() {
    return this.constructor.name;
  }
}
/** The file is not a model that tidegate can use. */
export class ModelError extends TidegateError {}
/** The model holds what this build does not have. */
export class UnsupportedError extends ModelError {}
/** A plan is truncated, altered or of another version. */
export class PlanError extends ModelError {}
/** A chunk has the wrong size or type, or a value that is refused; the state is unchanged. */
export class ChunkError extends TidegateError {}
/** A row of a group is not there, has not joined, or none is free. */
export class RowError extends TidegateError {}
/** A state given by name is not one of the model, or its size or a value is refused. */
export class StateError extends TidegateError {}
/** A snapshot is truncated, altered or of another model; the stream is unchanged. */
export class SnapshotError extends TidegateError {}
/** WebAssembly, memory or a module is not there. */
export class BackendError extends TidegateError {}

/** Chunks of some rows are refused, their states unchanged; the other rows were streamed. */
export class RefusedRowsError extends ChunkError {
  constructor(answers, refused, pushed) {
    const reasons = [...refused].map(([row, why]) => `row ${row}: ${why}`).join("; ");
    const others = `the answers of the other ${pushed - refused.size} are in \`answers\``;
    super(`${refused.size} of ${pushed} rows refused, ${others}; ${reasons}`);
    this.answers = answers;
    this.refused = refused;
  }
}

const STATUS = { finished: -5, range: -3, limit: -6, rounding: -8 };
const UNCHANGED = "chunk refused, state unchanged";

export const FINISHED = "the stream was finished; reset() starts a new one";

export function describePlan({ field, op, seen, wanted }) {
  if (field === "magic") return "this is no plan; `tidegate compile model.onnx -o model.tide` writes one";
  const where = op === 0xffffffff ? "plan" : `plan, operation ${op}`;
  const why = field === "version" ? "it is of another version of the format" : "the file is damaged";
  return `${where}: ${field} is ${seen}, wanted ${wanted}; ${why}, compile it again`;
}

export function describeSnapshot({ field, seen, wanted }) {
  if (field === "state") return "snapshot: state holds a value above 2^64 or NaN; stream unchanged";
  const wayOut =
    { model: "it was taken of another plan, restore it there", backend: "it was taken on another backend, restore it there",
      version: "it is of another version of the format, take it again" }[field] ?? "it is damaged, take it again";
  return `snapshot: ${field} is ${seen}, wanted ${wanted}; ${wayOut}; stream unchanged`;
}

/** Why `count` frames, which start at `first` in `values`, were refused. */
export function describeChunk(status, model, values, first, count) {
  if (status === STATUS.finished) return FINISHED;
  if (status === STATUS.range) return `a value inside the model left 2^64 on this chunk; ${UNCHANGED}`;
  if (status === STATUS.rounding) return "this thread does not round to nearest";
  if (status === STATUS.limit) {
    return `chunk of ${count} frames: the stream is one block, of at most ${model.limit} frames; finish() it first; ${UNCHANGED}`;
  }
  const { ids, width } = model;
  const bad = (x) => (ids ? !(Number.isInteger(x) && x >= 0 && x < ids) : !(Math.abs(x) <= 2 ** 64));
  let at = 0;
  while (at + 1 < count * width && !bad(values[first + at])) at++;
  const value = values[first + at];
  if (ids) return `chunk holds id ${value} at frame ${at}; wanted 0 to ${ids - 1}; ${UNCHANGED}`;
  const [name, feature] = model.placeOf(at % width);
  const signal = name === null ? "" : ` in signal '${name}'`;
  const place = `at frame ${Math.floor(at / width)}, feature ${feature}`;
  return `chunk holds ${value}${signal} ${place}; wanted finite values up to 2^64; ${UNCHANGED}`;
}
