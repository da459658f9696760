// What a served model is like, by its metadata and three small questions.
import { metadataOf, predict } from "./server.js";

const NEEDED = ["generate", "stream", "score", "next_char"];
const CARRIED = ["prompt", "state", "position"]; // inputs of stream that nobody sets
const ORDER = ["temperature", "max_chars", "", "seed", "stop"]; // metadata are in none; others stand at ""
export const END = "\u0003", REPLY = "\u0002";
export const END_NAME = "[END]"; // what next_char calls the end of a message

// The model cannot be played with.
export class NotPlayable extends Error {}

// Asks for a model: name, and a version or a label or neither.
//
// spec: what to call from then on, by version, so that no other one goes on with this one's state.
// settings: [{ name, dtype, value }], the value being the default, undefined where the server does not tell.
// stateSize: floats of a row's state.
// opening: what stands before a message that answers nothing.
// lineBreak: what a line break in a text was to the model.
export async function loadModel(asked, signal) {
  const { version, signatures } = await metadataOf(asked, signal);
  const missing = NEEDED.filter((name) => !(name in signatures));
  if (missing.length) {
    const has = Object.keys(signatures).filter((name) => !name.startsWith("__")).join(", ") || "none";
    throw new NotPlayable(`Model ${asked.name} has no signature ${missing.join(", ")}; it has ${has}.`);
  }
  const spec = { name: asked.name, version };
  const { inputs, defaults = {} } = signatures.stream;
  const [next, answer] = await Promise.all([
    predict(spec, "next_char", { prompt: [""] }, signal),
    predict(spec, "score", { text: [REPLY] }, signal),
  ]);
  const chars = new Set(next.chars[0]);
  const ends = chars.has(END_NAME), replies = answer.unknown_chars[0] === 0;
  return {
    spec,
    ends,
    replies,
    settings: settingsOf(inputs, defaults),
    stateSize: Number(inputs.state.tensor_shape.dim[1].size),
    opening: replies ? "" : ends ? END : " ",
    lineBreak: ends && !chars.has("\n") ? END : "\n",
  };
}

function settingsOf(inputs, defaults) {
  const place = ({ name, dtype }) => {
    if (dtype === "DT_BOOL") return ORDER.length;
    return ORDER.indexOf(ORDER.includes(name) ? name : "");
  };
  return Object.entries(inputs)
    .filter(([name]) => !CARRIED.includes(name))
    .map(([name, { dtype }]) => ({ name, dtype, value: valueOf(dtype, defaults[name]) }))
    .sort((a, b) => place(a) - place(b) || a.name.localeCompare(b.name));
}

// The one value of a TensorProto as the text that a field shows, or true or false.
function valueOf(dtype, tensor) {
  if (!tensor) return undefined;
  if (dtype === "DT_BOOL") return tensor.bool_val?.[0] ?? false;
  if (dtype === "DT_STRING") return fromBase64(tensor.string_val?.[0] ?? "");
  const values = [tensor.float_val, tensor.double_val, tensor.int_val, tensor.int64_val].flatMap((each) => each ?? []);
  return String(values[0] ?? 0);
}

function fromBase64(text) {
  return new TextDecoder().decode(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)));
}
