// JSON as TensorFlow Serving writes and reads it: int64 with all its digits, NaN and Infinity as bare words.

const JSON_WORDS = { true: "true", false: "false" };
const STRING_OR_WORD = /"(?:[^"\\]|\\.)*"|NaN|Infinity/g;
const NUMBERS = { NaN: "null", Infinity: "1e999" };

// Writes a value; a BigInt is an int64. Other words make it a literal of another language.
export function writeJson(value, words = JSON_WORDS) {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "boolean") return words[value];
  if (Array.isArray(value)) return `[${value.map((each) => writeJson(each, words)).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const items = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${writeJson(each, words)}`);
  return `{${items.join(", ")}}`;
}

export function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return JSON.parse(text.replace(STRING_OR_WORD, (found) => NUMBERS[found] ?? found));
  }
}
