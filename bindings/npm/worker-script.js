// What runs in the worker of `tidegate/worker`: models, streams and groups by number.
import * as tidegate from "./tidegate.js";

const held = new Map();
let next = 1;

// An object stays here, and its number goes to the page.
function posted(value) {
  if (!(value instanceof tidegate.Model || value instanceof tidegate.Stream || value instanceof tidegate.Group)) return { value };
  held.set(next, value);
  return { kind: value.constructor.name, number: next++ };
}

function answer({ number, name, given }) {
  if (number === 0) return new tidegate.Model(...given);
  const object = held.get(number);
  if (object === undefined) throw new tidegate.BackendError("it was freed; start another");
  const value = typeof object[name] === "function" ? object[name](...given) : object[name];
  if (name === "free") held.delete(number);
  return value;
}

globalThis.onmessage = ({ data }) => {
  try {
    postMessage({ call: data.call, ...posted(answer(data)) });
  } catch (error) {
    postMessage({ call: data.call, error: { ...error, name: error.name, message: error.message } });
  }
};
