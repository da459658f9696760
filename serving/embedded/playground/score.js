// Judges a text by the signature `score`, and finds which character of it each log-probability belongs to.
import { REPLY } from "./model.js";
import { predict } from "./server.js";

// What normalising leaves out unless the model was told to keep it.
const INVISIBLE = /[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;

// Gives:
// chars: [{ char, logProb }], the logProb null where the model does not know the character; empty if the model reads
//   the text as one of another length. A message's end is the last, with ends.
// rest: what was not judged, the text being longer than the model takes.
// bitsPerChar, bits: on average and in all, of the characters that it knows; unknown: how many it does not.
export async function score(model, text, replyTo, signal) {
  const asked = replyTo ? replyTo + REPLY + text : text;
  const answer = await predict(model.spec, "score", { text: [asked] }, signal);
  const unknown = answer.unknown_chars[0], truncated = answer.truncated[0];
  const logs = answer.char_log_probs[0].slice(0, answer.length[0]);
  const end = model.ends && !truncated ? [{ char: "", logProb: logs.pop() }] : [];
  const read = readAs(text, logs.length, truncated);
  const told = logs.map((each) => (unknown && each === 0 ? null : each));
  const chars = read.slice(0, logs.length).map((char, i) => ({ char, logProb: told[i] }));
  const nats = logs.reduce((sum, each) => sum + each, end[0]?.logProb ?? 0);
  return {
    chars: read.length || !text ? [...chars, ...end] : [],
    rest: read.slice(logs.length).join(""),
    bitsPerChar: answer.bits_per_char[0],
    bits: 0 - nats / Math.LN2,
    length: answer.length[0],
    unknown,
  };
}

// The characters of a text as the model may have normalised it, so that there are as many as it judged; none if no way
// leads there.
function readAs(text, count, truncated) {
  const seen = text.replace(INVISIBLE, "");
  const forms = [text, seen, ...["NFC", "NFKC"].flatMap((form) => [seen.normalize(form), text.normalize(form)])];
  const all = [...forms, ...forms.map((form) => form.toLowerCase())].map((form) => [...form]);
  return all.find(({ length }) => (truncated ? length > count : length === count)) ?? [];
}
