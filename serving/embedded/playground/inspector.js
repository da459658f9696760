// Shows what else a model might have written at the place that is looked at; a choice is where to write on from.
import { Alternatives } from "./alternatives.js";
import { byId, element } from "./elements.js";
import { END, END_NAME } from "./model.js";
import { bitsOf, levelOf, nameOf, ordinal, percent, signOf } from "./words.js";

const SHOWN = 10;
const PATIENCE = 80; // ms that a pointer rests before the server is asked

export class Inspector {
  // onchoose: called with a prompt. onerror: is told what went wrong.
  constructor({ onchoose, onerror }) {
    this.panel = byId("inspector");
    this.onchoose = onchoose;
    this.onerror = onerror;
    this.alternatives = new Alternatives();
  }

  // Looks at a character of a view.
  look(view, index) {
    if (this.view && this.view !== view) this.view.lookAway();
    this.view = view;
    this.index = index;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#ask(view, index), PATIENCE);
  }

  // Looks at nothing.
  close() {
    clearTimeout(this.timer);
    this.view?.lookAway();
    this.view = undefined;
    this.panel.hidden = true;
  }

  async #ask(view, index) {
    try {
      const ranked = await this.alternatives.after(view.model, view.readBefore(index));
      if (ranked && this.view === view && this.index === index) this.#show(view, index, ranked);
    } catch (error) {
      this.onerror(error);
    }
  }

  #show(view, index, ranked) {
    const { char, logProb } = view.chars[index];
    const rank = rankOf(char, ranked, view.model);
    const place = rank < 0 ? "" : rank === 0 ? " the likeliest" : ` the ${ordinal(rank + 1)} likeliest`;
    const how =
      logProb === null
        ? " is unknown to the model"
        : ` ${percent(Math.exp(logProb))},${place || " not ranked"}, ${bitsOf(logProb).toFixed(2)} bits`;
    const said = element("p", { className: "said", role: "status" }, element("strong", {}, nameOf(char)), how);
    const shown = ranked.filter((_, i) => i < SHOWN || i === rank);
    const choices = shown.map((each) => this.#choice(each, each === ranked[rank], view.promptBefore(index)));
    this.panel.replaceChildren(said, element("ol", { className: "choices" }, ...choices));
    this.panel.hidden = false;
  }

  #choice({ char, probability }, written, prefix) {
    const bar = element("span", { className: `bar s${levelOf(Math.log(probability))}` });
    bar.style.inlineSize = `${100 * probability}%`;
    const button = element(
      "button",
      { type: "button", className: written ? "choice written" : "choice", title: "Write on from here" },
      bar,
      element("b", {}, signOf(char)),
      element("span", {}, percent(probability)),
    );
    button.setAttribute("aria-label", `Write on with ${nameOf(char)}, ${percent(probability)}`);
    button.addEventListener("click", () => this.onchoose(prefix + (char === END_NAME ? END : char)));
    return element("li", {}, button);
  }
}

// Where a character stands among the ranked, -1 for nowhere. A line break may stand for the end of a message, and what
// was pasted for what the model reads it as.
function rankOf(written, ranked, model) {
  const char = written === "\n" ? model.lineBreak : written || END;
  const names = char === END ? [END_NAME] : [char, char.toLowerCase()];
  const places = names.map((name) => ranked.findIndex((each) => each.char === name));
  return places.find((place) => place >= 0) ?? -1;
}
