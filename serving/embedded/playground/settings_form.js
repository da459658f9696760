// A field for each setting that the model's metadata name, by its dtype; hints.json has a line about those we know.
import { byId, element } from "./elements.js";

const WHOLE = ["DT_INT32", "DT_INT64", "DT_INT16", "DT_INT8", "DT_UINT8"];

export class SettingsForm {
  constructor(hints) {
    this.hints = hints;
    this.grid = byId("settings-grid");
    this.settings = [];
    this.grid.addEventListener("focusin", (event) => this.#hint(event.target));
    this.grid.addEventListener("mouseover", (event) => this.#hint(event.target.closest("label")?.control));
  }

  // Shows the settings of a model, in place of those before it; what was typed under the same name stays.
  show(settings) {
    if (JSON.stringify(settings) === JSON.stringify(this.settings)) return;
    const changed = this.settings.filter(({ name, value }) => String(this.typed(name)) !== String(value ?? ""));
    const typed = Object.fromEntries(changed.map(({ name }) => [name, this.typed(name)]));
    this.settings = settings;
    this.grid.replaceChildren(...settings.flatMap((setting) => this.#field(setting)));
    this.set(typed);
  }

  // What stands in the fields: texts, true or false, by name.
  allTyped() {
    return Object.fromEntries(this.settings.map(({ name }) => [name, this.typed(name)]));
  }

  typed(name) {
    const input = this.#input(name);
    return input.type === "checkbox" ? input.checked : input.value;
  }

  // Puts values into the fields that there are.
  set(values) {
    for (const [name, value] of Object.entries(values)) {
      const input = this.#input(name);
      if (input?.type === "checkbox") input.checked = String(value) === "true";
      else if (input) input.value = value;
    }
  }

  // The values as JSON has them, by name. Throws a FieldError where something else was typed.
  values() {
    return Object.fromEntries(this.settings.map((setting) => [setting.name, this.#value(setting)]));
  }

  #input(name) {
    return byId(`setting-${name}`);
  }

  #field({ name, dtype, value }) {
    const id = `setting-${name}`;
    const input = element("input", { id, type: typeOf(dtype), autocomplete: "off" });
    if (dtype === "DT_BOOL") input.checked = value;
    else input.value = value ?? "";
    if (input.type === "number") input.step = WHOLE.includes(dtype) ? "1" : "0.01";
    const className = input.type === "checkbox" ? "setting ticked" : "setting";
    const words = element("span", {}, name.replaceAll("_", " "));
    const label = element("label", { htmlFor: id, className }, words, input);
    label.dataset.setting = name;
    if (!this.hints[name]) return [label];
    input.setAttribute("aria-describedby", `${id}-hint`);
    return [label, element("span", { id: `${id}-hint`, className: "unseen" }, this.hints[name])];
  }

  #hint(input) {
    const name = input?.id?.replace("setting-", "");
    byId("hint").textContent = this.hints[name] ? `${name.replaceAll("_", " ")}: ${this.hints[name]}` : "";
  }

  #value({ name, dtype }) {
    const input = this.#input(name);
    return valueOf(dtype, input.type === "checkbox" ? input.checked : input.value.trim(), name, input);
  }
}

// Something was typed that cannot be sent.
export class FieldError extends Error {
  constructor(message, input) {
    super(message);
    this.input = input;
  }
}

// What was typed as the value of a dtype: an int64 is a BigInt, for its digits.
export function valueOf(dtype, typed, name, input) {
  if (dtype === "DT_STRING") return input.value; // a stop string may be a blank
  if (dtype === "DT_BOOL") return typed;
  const words = name.replaceAll("_", " ");
  if (WHOLE.includes(dtype)) {
    if (!/^[+-]?\d+$/.test(typed)) throw new FieldError(`${words} must be a whole number.`, input);
    return BigInt(typed);
  }
  if (typed === "" || !Number.isFinite(Number(typed))) throw new FieldError(`${words} must be a number.`, input);
  return Number(typed);
}

function typeOf(dtype) {
  if (dtype === "DT_BOOL") return "checkbox";
  if (dtype === "DT_STRING") return "text";
  return dtype === "DT_INT64" ? "text" : "number"; // a number field has a double's 15 digits
}
