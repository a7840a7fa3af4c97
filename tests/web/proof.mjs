// Streams frames through the model of a folder of `--target wasm`, and prints the hash that tests/devices/proof.c prints.
//
//     node proof.mjs FOLDER VARIANT < frames
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [, , folder, variant] = process.argv;
const { Model } = await import(pathToFileURL(join(folder, "tidegate", "tidegate.js")).href);
const file = { wasm_simd128: "model.wasm", scalar: "model-plain.wasm" }[variant];
const model = new Model(readFileSync(join(folder, file)), readFileSync(join(folder, "model.tide")));
if (model.isa !== variant) throw new Error(`the module runs ${model.isa}, wanted ${variant}`);
const frames = new Float32Array(new Uint8Array(readFileSync(0)).buffer);
const stream = model.stream();
let chained = new Uint8Array(32);
const bytesOf = (values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
function chain(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 32));
  bytes.set(chained);
  parts.reduce((at, part) => (bytes.set(bytesOf(part), at), at + part.byteLength), 32);
  chained = Uint8Array.from(Buffer.from(model.digest(bytes), "hex"));
}
for (let at = 0; at < frames.length; at += model.width) {
  const answer = stream.push(frames.subarray(at, at + model.width));
  chain(answer instanceof Float32Array ? [answer] : Object.values(answer));
}
for (const values of stream.states()) chain([values]);
console.log(`hash ${Buffer.from(chained).toString("hex")}`);
