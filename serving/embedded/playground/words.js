// How characters, probabilities and counts are written for people.
import { END, END_NAME } from "./model.js";

const OVER = "end of message";
const NAMES = { " ": "space", "\n": "line break", "\t": "tab", [END_NAME]: OVER, [END]: OVER, "": OVER };
const SIGNS = { " ": "␣", "\n": "↵", "\t": "⇥", [END_NAME]: "end", "": "end" };

export const signOf = (char) => SIGNS[char] ?? char;
export const nameOf = (char) => NAMES[char] ?? `“${char}”`;
export const bitsOf = (logProb) => 0 - logProb / Math.LN2;
export const levelOf = (logProb) => Math.max(0, Math.min(8, Math.round(bitsOf(logProb))));
export const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

export function percent(probability) {
  const share = 100 * probability;
  if (share < 0.1) return "<0.1 %";
  return `${share.toFixed(share >= 10 ? 0 : 1)} %`;
}

export function ordinal(rank) {
  const teen = rank % 100 > 10 && rank % 100 < 14;
  return rank + (teen ? "th" : ["th", "st", "nd", "rd"][rank % 10] ?? "th");
}
