// The modes that write: one text, or the same at four temperatures side by side.
import { FieldError, valueOf } from "./settings_form.js";
import { Stream } from "./stream.js";
import { REPLY } from "./model.js";
import { TextView } from "./text_view.js";
import { counted } from "./words.js";

export const write = {
  writes: true,
  verb: "Write",
  models: 1,
  again: "Go on",
  calls: (state, [model]) => callsOf(model, [rowOf(state)]),
  begin: (state, [model], stage) => begin(model, [rowOf(state)], [model.spec.name], state, stage),
};

export const temperatures = {
  writes: true,
  verb: "Write four",
  models: 1,
  again: "Go on",
  calls: (state, [model]) => callsOf(model, rowsOf(state)),
  begin(state, [model], stage) {
    if (!("temperature" in state.values)) throw new Error(`Model ${model.spec.name} has no temperature to set.`);
    const titles = state.temperatures.map((each) => `temperature ${each}`);
    return begin(model, rowsOf(state), titles, state, stage);
  },
};

// What is read before the first character: the typed prompt, and what it answers.
function promptOf({ prompt, replyTo }) {
  return replyTo ? replyTo + REPLY + prompt : prompt;
}

function rowOf(state) {
  return { prompt: promptOf(state), settings: state.values };
}

function rowsOf(state) {
  return state.temperatures.map((typed, i) => {
    const temperature = valueOf("DT_FLOAT", typed.trim(), "temperature", state.temperatureInputs[i]);
    if (temperature < 0) throw new FieldError("temperature must be at least 0.", state.temperatureInputs[i]);
    return { prompt: promptOf(state), settings: { ...state.values, temperature } };
  });
}

function callsOf(model, rows) {
  const asked = rows.map(({ prompt, settings }) => ({ prompt, ...settings }));
  return [{ spec: model.spec, signature: "generate", rows: asked }];
}

// Lays out the views; gives what writes, which can be called again to go on where it was interrupted.
function begin(model, rows, titles, state, stage) {
  const stream = new Stream(model, rows);
  const prefix = promptOf(state) || model.opening;
  const shared = { model, prefix, prompt: state.prompt, looked: stage.looked };
  const views = titles.map((title) => new TextView({ title, ...shared }));
  stage.show(views);
  const began = performance.now();
  return async (signal) => {
    while (!stream.done) {
      for (const written of await stream.next(signal)) add(views[written.row], written);
    }
    const chars = views.reduce((sum, view) => sum + view.chars.length, 0);
    return `${counted(chars, "character")} in ${((performance.now() - began) / 1000).toFixed(1)} s.`;
  };
}

function add(view, { char, logProb, finish }) {
  if (char || finish === "end") view.append(char, logProb);
  const chars = view.chars.filter((each) => each.char).length;
  const nats = view.chars.reduce((sum, each) => sum - each.logProb, 0);
  const bits = view.chars.length ? `${(nats / Math.LN2 / view.chars.length).toFixed(2)} bits each` : "";
  view.figures.textContent = [counted(chars, "character"), bits, ENDS[finish]].filter(Boolean).join(" · ");
}

const ENDS = { end: "the message ended", stop: "stop was written", length: "max chars" };
