// The controls: what is asked, as a state that the link holds too.
import { byId, element } from "./elements.js";
import { ModelPicker } from "./model_picker.js";
import { SettingsForm } from "./settings_form.js";

const TEMPERATURES = ["0.2", "0.5", "1.0", "1.2"];
const TEXTS = { prompt: "prompt", text: "text", replyTo: "reply-to" }; // of the state: ids

export class Controls {
  // names: of the models that are known. onmode: called when another mode is chosen. onmodel: called with the number of
  // the model that was chosen anew. onerror: is told what went wrong.
  constructor({ names, hints, onmode, onmodel, onerror }) {
    this.form = new SettingsForm(hints);
    this.pickers = ["Model", "Other model"].map(
      (title, i) => new ModelPicker(byId(`model-${i}`), { title, names, onerror, onchange: () => onmodel(i) }),
    );
    this.temperatureInputs = TEMPERATURES.map((value, i) =>
      element("input", { type: "number", step: "0.01", min: 0, value, "aria-label": `Temperature ${i + 1}` }),
    );
    byId("temperatures").append(element("div", { className: "grid" }, ...this.temperatureInputs));
    byId("modes").addEventListener("change", () => (this.showMode(), onmode()));
    this.showMode();
  }

  get mode() {
    return byId("modes").querySelector("input:checked").value;
  }

  // Shows what the mode needs.
  showMode() {
    for (const each of document.querySelectorAll("[data-for]")) {
      each.hidden = !each.dataset.for.split(" ").includes(this.mode);
    }
    byId("settings").classList.toggle("four", this.mode === "temperatures");
  }

  // Shows the settings of the model that is chosen, and whether it answers.
  showModel(model) {
    this.form.show(model.settings);
    byId("reply-field").hidden = !model.replies;
  }

  // What is typed, as the link has it.
  state() {
    const texts = Object.entries(TEXTS).map(([name, id]) => [name, byId(id).value]);
    return {
      mode: this.mode,
      models: this.pickers.map((picker) => picker.spec()),
      ...Object.fromEntries(texts),
      replyTo: byId("reply-field").hidden ? "" : byId("reply-to").value,
      temperatures: this.temperatureInputs.map(({ value }) => value),
      settings: this.form.allTyped(),
    };
  }

  // The same; with the settings' values, if they are asked for. Throws a FieldError where one cannot be sent.
  checked(withSettings) {
    const values = withSettings ? this.form.values() : {};
    return { ...this.state(), values, temperatureInputs: this.temperatureInputs };
  }

  // Puts a state into the controls, but for the settings, which wait for the model.
  async set({ mode, models, temperatures, ...rest }) {
    const chosen = byId("modes").querySelector(`input[value="${CSS.escape(mode)}"]`);
    if (chosen) chosen.checked = true;
    for (const [name, id] of Object.entries(TEXTS)) byId(id).value = rest[name] ?? "";
    temperatures?.slice(0, 4).forEach((value, i) => (this.temperatureInputs[i].value = value));
    this.showMode();
    await Promise.all(models.map((spec, i) => this.pickers[i].set(spec)));
  }
}
