// The engine for JavaScript: the names and the bits of Python.
export * from "./errors.js";
export { Group } from "./group.js";
export { Model } from "./model.js";
export { Stream } from "./stream.js";
