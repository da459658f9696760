// A text whose characters are coloured by how much they surprised the model, on a card with a title and figures. One of
// them can be looked at: by pointing at it, or by the slider below, which is for keys and screen readers.
import { element } from "./elements.js";
import { bitsOf, levelOf, nameOf, percent, signOf } from "./words.js";

export class TextView {
  // prompt: what was typed before the first character. prefix: what the model read before it. looked: called with this
  // view and the place of a character.
  constructor({ title, model, prefix, prompt = "", looked }) {
    Object.assign(this, { title, model, prefix, prompt, looked });
    this.chars = [];
    this.spans = [];
    this.figures = element("p", { className: "figures" });
    this.text = element("p", { className: "text" }, element("span", { className: "prompt" }, prompt));
    this.slider = element("input", { type: "range", min: 0, max: 0, value: 0, step: 1, disabled: true });
    const look = element("label", { className: "look" }, element("span", {}, "Look at"), this.slider);
    const head = element("header", {}, element("h2", {}, title), this.figures);
    this.card = element("article", { className: "card" }, head, this.text, look);
    this.slider.addEventListener("input", () => this.lookAt(Number(this.slider.value)));
    this.slider.addEventListener("focus", () => this.lookAt(Number(this.slider.value)));
    for (const how of ["mouseover", "click"]) this.text.addEventListener(how, (event) => this.#point(event.target));
  }

  // Adds a character; "" is the end of a message. The log-probability is null where the model does not know it.
  append(char, logProb) {
    const level = logProb === null ? "unknown" : `s${levelOf(logProb)}`;
    const span = element("span", { className: `c ${level}` }, char === "" ? signOf(char) : char);
    if (char === "") span.classList.add("end");
    if (char === "\n") span.classList.add("break");
    this.chars.push({ char, logProb });
    this.spans.push(span);
    this.text.append(span);
    this.slider.max = this.chars.length - 1;
    this.slider.disabled = false;
    this.#describe();
  }

  // Adds text that was not judged.
  appendRest(text) {
    this.text.append(element("span", { className: "rest" }, text));
  }

  // What the model had read before a character.
  readBefore(index) {
    return this.prefix + this.#written(index);
  }

  // The prompt that writes on from before a character.
  promptBefore(index) {
    return this.prompt + this.#written(index);
  }

  lookAt(index) {
    if (!this.chars[index]) return;
    this.slider.value = index;
    this.#mark(index);
    this.#describe();
    this.looked(this, index);
  }

  // Ends looking.
  lookAway() {
    this.#mark(-1);
  }

  #written(end) {
    return this.chars
      .slice(0, end)
      .map(({ char }) => (char === "\n" ? this.model.lineBreak : char))
      .join("");
  }

  #mark(index) {
    this.marked?.classList.remove("looked");
    this.marked = this.spans[index];
    this.marked?.classList.add("looked");
  }

  #point(target) {
    const index = this.spans.indexOf(target);
    if (index >= 0 && target !== this.marked) this.lookAt(index);
  }

  #describe() {
    const index = Number(this.slider.value), { char, logProb } = this.chars[index];
    const how = logProb === null ? "unknown" : `${percent(Math.exp(logProb))}, ${bitsOf(logProb).toFixed(1)} bits`;
    this.slider.setAttribute("aria-valuetext", `${index + 1} of ${this.chars.length}: ${nameOf(char)}, ${how}`);
  }
}
