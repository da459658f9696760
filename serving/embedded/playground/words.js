// How characters, probabilities and counts are written for people.
import { END, END_NAME } from "./model.js";

const NAMES = { " ": "space", "\n": "line break", "\t": "tab", [END_NAME]: "end of message", [END]: "end of message", "": "end of message" };
const SIGNS = { " ": "␣", "\n": "↵", "\t": "⇥", [END_NAME]: "end", "": "end" };

export const signOf = (char) => SIGNS[char] ?? char;
export const nameOf = (char) => NAMES[char] ?? `“${char}”`;
export const bitsOf = (logProb) => 0 - logProb / Math.LN2;
export const levelOf = (logProb) => Math.max(0, Math.min(8, Math.round(bitsOf(logProb))));
export const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

export function percent(probability) {
  const share = 100 * probability;
  return share >= 99.95 ? "100 %" : share >= 10 ? `${share.toFixed(0)} %` : share >= 0.1 ? `${share.toFixed(1)} %` : "<0.1 %";
}

export function ordinal(rank) {
  const teen = rank % 100 > 10 && rank % 100 < 14;
  return rank + (teen ? "th" : ["th", "st", "nd", "rd"][rank % 10] ?? "th");
}
