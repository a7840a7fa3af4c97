// The text of a plan: the contract, and the names of outputs and states. The engine itself does not read it.
import { PlanError } from "./errors.js";

const TEXT_AT = 88;
const MOST_VALUES = 2 ** 24; // of all states together

/** Read the text of a plan that the engine has checked. `widths` are those of its outputs and state vectors. */
export function readText(plan, widths) {
  const view = new DataView(plan.buffer, plan.byteOffset, plan.byteLength);
  const at = Number(view.getBigUint64(TEXT_AT, true));
  const bytes = plan.subarray(at, at + Number(view.getBigUint64(TEXT_AT + 8, true)));
  try {
    return checked(JSON.parse(decoded(bytes)), widths);
  } catch (error) {
    throw new PlanError(`plan: text is not readable (${error.message}); the file is damaged, compile it again`);
  }
}

// Worklets have no TextDecoder.
function decoded(bytes) {
  let escaped = "";
  for (const byte of bytes) escaped += byte < 128 && byte !== 37 ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`;
  return decodeURIComponent(escaped);
}

function checked({ contract: json, outputs, slots, frame = [], shapes = [] }, widths) {
  const contract = JSON.parse(json);
  need(Array.isArray(outputs) && outputs.length === widths.outputs.length, "names of outputs");
  need(outputs.every((name) => typeof name === "string"), "names of outputs");
  need(new Set(outputs).size === outputs.length, "different names of outputs");
  need(Array.isArray(slots) && slots.length === widths.states.length, "places of states");
  const states = statesOf(contract);
  const places = slots.map(([name, index], i) => placeOf(states, name, index, widths.states[i]));
  return { contract, outputs, states, places, pieces: piecesOf(contract), frame, shapes };
}

function statesOf(contract) {
  const states = new Map();
  let values = 0;
  for (const state of contract.states) {
    const shape = state.shape.map((size) => (typeof size === "string" ? 1 : size));
    need(typeof state.input === "string" && !states.has(state.input) && shape.every(isSize), "states");
    const size = shape.reduce((a, b) => a * b, 1);
    need((values += size) <= MOST_VALUES, "fewer values of states");
    states.set(state.input, { shape, size, kind: state.kind });
  }
  return states;
}

// A state vector that the contract does not name has the place ["", 0].
function placeOf(states, name, index, width) {
  if (name === "" && index === 0) return null;
  const state = states.get(name);
  need(state && Number.isInteger(index) && index >= 0 && index < state.shape[0], "states of the engine");
  need(state.size / state.shape[0] === width, "widths of states");
  return { name, at: index * width };
}

function piecesOf(contract) {
  let first = 0;
  return (contract.pieces ?? []).map(({ name, shape }) => {
    need(typeof name === "string" && shape.every(isSize), "signals");
    const piece = { name, first, features: shape.reduce((a, b) => a * b, 1) };
    first += piece.features;
    return piece;
  });
}

const isSize = (size) => Number.isInteger(size) && size >= 1 && size < 2 ** 31;

function need(holds, what) {
  if (!holds) throw new Error(`wanted ${what}`);
}
