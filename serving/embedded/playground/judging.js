// The modes that judge a pasted text: a heat map of one model, or two of them side by side, who would sooner say it.
import { element } from "./elements.js";
import { REPLY } from "./model.js";
import { score } from "./score.js";
import { TextView } from "./text_view.js";
import { bitsOf, counted } from "./words.js";

export const heat = {
  writes: false,
  verb: "Judge",
  models: 1,
  again: "Try again",
  calls: callsOf,
  begin: (state, [model], stage) => async (signal) => {
    const found = await score(model, state.text, state.replyTo, signal);
    stage.show([viewOf(model, found, state, stage)]);
    return `${found.bitsPerChar.toFixed(2)} bits per character.`;
  },
};

export const who = {
  writes: false,
  verb: "Compare",
  models: 2,
  again: "Try again",
  calls: callsOf,
  begin: (state, models, stage) => async (signal) => {
    const found = await Promise.all(models.map((model) => score(model, state.text, state.replyTo, signal)));
    const names = namesOf(models);
    const verdict = element("p", { className: "verdict" }, ...verdictOf(names, found));
    const views = models.map((model, i) => viewOf(model, found[i], state, stage, names[i]));
    stage.show(views, [verdict], [differenceOf(names, found)]);
    return "Compared.";
  },
};

function callsOf({ text, replyTo }, models) {
  const asked = replyTo ? replyTo + REPLY + text : text;
  return models.map(({ spec }) => ({ spec, signature: "score", rows: [{ text: asked }] }));
}

function viewOf(model, found, { replyTo }, stage, title = model.spec.name) {
  const prefix = replyTo ? replyTo + REPLY : model.opening;
  const view = new TextView({ title, model, prefix, looked: stage.looked });
  for (const { char, logProb } of found.chars) view.append(char, logProb);
  if (found.rest) view.appendRest(found.rest);
  const figures = [
    `${found.bitsPerChar.toFixed(2)} bits per character`,
    `${found.bits.toFixed(0)} bits in all`,
    found.unknown && `${counted(found.unknown, "character")} unknown`,
    found.rest && "the rest is more than the model takes",
  ];
  view.figures.textContent = figures.filter(Boolean).join(" · ");
  if (!found.chars.length) view.appendRest(NO_MATCH);
  return view;
}

const NO_MATCH = "The model reads this text as one of another length, so that only all of it together has a figure.";

function namesOf(models) {
  const [one, other] = models.map(({ spec }) => spec.name);
  return one === other ? models.map(({ spec }) => `${spec.name} ${spec.version}`) : [one, other];
}

// Whose the text is sooner, in a sentence; each as likely before it was read.
function verdictOf(names, found) {
  const known = "Unknown characters count for nothing, so these are not quite comparable.";
  const note = found[0].unknown !== found[1].unknown ? [" ", element("small", {}, known)] : [];
  const [one, other] = found.map(({ bits }) => bits);
  if (Math.abs(one - other) < 0.05) return ["Both would say this alike.", ...note];
  const [first, second] = one < other ? [0, 1] : [1, 0];
  const apart = Math.abs(one - other);
  return [
    element("strong", {}, names[first]),
    ` would sooner say this than ${names[second]}: ${found[first].bitsPerChar.toFixed(2)} against `,
    `${found[second].bitsPerChar.toFixed(2)} bits per character, `,
    `${apart.toFixed(1)} bits fewer in all, which is ${oddsOf(apart)} to 1.`,
    ...note,
  ];
}

function oddsOf(bits) {
  if (bits < 20) return (2 ** bits).toLocaleString("en", { maximumSignificantDigits: 3 });
  const digits = Math.floor(bits * Math.log10(2));
  const raised = [...String(digits)].map((each) => RAISED[each]).join("");
  return `${(10 ** (bits * Math.log10(2) - digits)).toFixed(1)} × 10${raised}`;
}

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

// Which of the two each character speaks for.
function differenceOf(names, [one, other]) {
  const spans = one.chars.map(({ char, logProb }, i) => {
    const less = other.chars[i] && logProb !== null && other.chars[i].logProb !== null;
    const bits = less ? bitsOf(other.chars[i].logProb) - bitsOf(logProb) : 0;
    return element("span", { className: `${classOf(bits)} ${char ? "" : "end"}` }, char || "end");
  });
  const key = element(
    "p",
    { className: "figures" },
    "coloured for whom it speaks: ",
    element("span", { className: "one3" }, names[0]),
    " ",
    element("span", { className: "other3" }, names[1]),
  );
  const same = one.chars.length && one.chars.length === other.chars.length;
  const text = element("p", { className: "text" }, ...(same ? spans : [NO_MATCH]));
  const head = element("header", {}, element("h2", {}, "Between them"), key);
  return element("article", { className: "card difference" }, head, text);
}

function classOf(bits) {
  const size = Math.abs(bits), level = size < 0.5 ? 0 : size < 1 ? 1 : size < 2 ? 2 : size < 4 ? 3 : 4;
  return level ? `${bits > 0 ? "one" : "other"}${level}` : "";
}
