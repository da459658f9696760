// The playground: reads what is asked from the controls, has the mode that is chosen answer it, and shows the answer.
import { hideError, hideRemark, showError } from "./alert.js";
import { copy } from "./clipboard.js";
import { Controls } from "./controls.js";
import { byId } from "./elements.js";
import { Inspector } from "./inspector.js";
import { heat, who } from "./judging.js";
import { fromFragment, toFragment } from "./link.js";
import { loadModel } from "./model.js";
import { besidePage } from "./server.js";
import { asCurl, asPython } from "./snippets.js";
import { temperatures, write } from "./writing.js";

const NARROW = matchMedia("(max-width: 820px)"); // as in style.css: the answer stands below what is asked
const MODES = { write, temperatures, heat, who };
const [names, hints] = await Promise.all([besidePage("models.json", []), besidePage("hints.json", {})]);
const controls = new Controls({ names, hints, onmode, onmodel, onerror: showError });
const inspector = new Inspector({ onchoose: writeOn, onerror: showError });
let running = new AbortController();
let views = [];
let look; // the view and the character that are looked at, by number

const stage = {
  // Shows views, with elements before and behind them.
  show(shown, before = [], behind = []) {
    views = shown;
    byId("results").replaceChildren(...before, ...views.map(({ card }) => card), ...behind);
    byId("results").dataset.views = views.length;
    byId("legend").hidden = false;
    if (NARROW.matches) byId("legend").scrollIntoView({ behavior: "smooth" });
  },
  looked(view, index) {
    look = [views.indexOf(view), index];
    inspector.look(view, index);
  },
};

function modeOf(state) {
  return MODES[state.mode];
}

// Says how it goes; `again`: { words, act } of a button beside it, if there is something to do.
function say(words, again) {
  byId("status").textContent = words;
  byId("go-on").hidden = !again;
  byId("go-on").textContent = again?.words;
  byId("go-on").onclick = again?.act;
}

// The models that the mode needs, as they are now.
async function loadModels(state, signal) {
  const specs = state.models.slice(0, modeOf(state).models);
  if (specs.some(({ name }) => !name)) throw new Error("Which model? Give its name, as the server knows it.");
  const models = await Promise.all(specs.map((spec) => loadModel(spec, signal)));
  controls.showModel(models[0]);
  return models;
}

// Answers what is asked; `wanted` is what a link has beyond the controls.
async function run(wanted = {}) {
  stop();
  inspector.close();
  look = undefined;
  const { signal } = (running = new AbortController());
  const again = { words: "Try again", act: () => run(wanted) };
  const begun = await attempt(signal, again, async () => {
    const models = await loadModels(controls.state(), signal);
    controls.form.set(wanted.settings ?? {});
    const state = controls.checked(modeOf(controls.state()).writes);
    const job = modeOf(state).begin(state, models, stage);
    history.replaceState(null, "", toFragment(pinned(state, models)));
    return { job, words: modeOf(state).again };
  });
  if (begun) await goOn(begun, wanted);
}

// Lets a job run to its end, or to where it is interrupted and can go on.
async function goOn({ job, words }, wanted) {
  stop();
  const { signal } = (running = new AbortController());
  const again = { words, act: () => goOn({ job, words }, wanted) };
  const said = await attempt(signal, again, () => job(signal));
  if (said === undefined) return;
  say(said);
  if (wanted.look) views[wanted.look[0]]?.lookAt(wanted.look[1]);
}

// What `work` gives, or undefined where it went wrong, which is then said, or was stopped.
async function attempt(signal, again, work) {
  hideError();
  busy(true);
  try {
    return await work();
  } catch (error) {
    if (signal.aborted) {
      if (running.signal === signal) say("Stopped.", again);
    } else {
      say("");
      showError(error, error.input ? undefined : again);
    }
    return undefined;
  } finally {
    if (running.signal === signal) busy(false);
  }
}

function busy(on) {
  byId("results").setAttribute("aria-busy", on);
  byId("stop").disabled = !on;
  if (on) say("Working …");
}

function stop() {
  running.abort();
}

// What the mode takes of a state, its models being the versions that answered.
function pinned({ mode, replyTo, prompt, text, temperatures, settings }, models) {
  const four = mode === "temperatures" && { temperatures };
  const rest = MODES[mode].writes ? { prompt, settings, ...four } : { text };
  return { mode, replyTo, ...rest, models: models.map(({ spec }) => spec) };
}

function writeOn(prompt) {
  byId("prompt").value = prompt;
  byId("modes").querySelector("[value=write]").checked = true;
  controls.showMode();
  onmode();
  run();
}

function onmode() {
  byId("run").textContent = MODES[controls.mode].verb;
}

// Shows what the model that was chosen has to set.
async function onmodel(which) {
  if (which > 0) return;
  try {
    const spec = controls.state().models[0];
    if (spec.name) controls.showModel(await loadModel(spec));
    hideRemark();
  } catch (error) {
    showError(error);
  }
}

async function restore() {
  const wanted = fromFragment(location.hash);
  if (wanted && wanted.mode in MODES) {
    await controls.set(wanted);
    onmode();
    return run(wanted);
  }
  await Promise.all(controls.pickers.map((picker, i) => picker.set({ name: names[i] ?? names[0] })));
  return onmodel(0);
}

async function copied(what, make) {
  try {
    const models = await loadModels(controls.state());
    const state = controls.checked(modeOf(controls.state()).writes);
    say(await copy(make(state, models), what));
  } catch (error) {
    showError(error);
  }
}

byId("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
byId("controls").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
byId("stop").addEventListener("click", stop);
byId("copy-link").addEventListener("click", () =>
  copied("Link", (state, models) => new URL(toFragment({ ...pinned(state, models), look }), location.href).href),
);
byId("copy-curl").addEventListener("click", () =>
  copied("curl", (state, models) => asCurl(modeOf(state).calls(state, models))),
);
byId("copy-python").addEventListener("click", () =>
  copied("Python", (state, models) => asPython(modeOf(state).calls(state, models))),
);
byId("settings").open = !NARROW.matches;
window.addEventListener("hashchange", restore);
restore();
