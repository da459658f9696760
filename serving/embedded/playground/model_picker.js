// Chooses a model, and a version or a label of it. Where no list of models is to be had, the name is typed; the
// versions are those of the model's status; labels are in no answer, so they are typed.
import { element } from "./elements.js";
import { statusOf } from "./server.js";

const LATEST = "latest", LABEL = "label";

export class ModelPicker {
  // container: a fieldset with an id. onchange: called when another one is chosen. onerror: is told what went wrong.
  constructor(container, { title, names, onchange, onerror }) {
    this.id = container.id;
    this.onerror = onerror;
    this.name = names.length ? element("select", {}, ...names.map(option)) : element("input", { required: true });
    this.name.id = `${this.id}-name`;
    this.version = element("select", { id: `${this.id}-version` });
    this.label = element("input", { id: `${this.id}-label`, placeholder: "stable" });
    this.labelField = field("Label", this.label);
    container.replaceChildren(
      element("legend", {}, title),
      field("Name", this.name),
      field("Version", this.version),
      this.labelField,
    );
    this.name.addEventListener("change", () => {
      this.wanted = this.version.value === LABEL ? LABEL : LATEST;
      this.#takeVersions().then(onchange);
    });
    this.version.addEventListener("change", () => {
      this.wanted = undefined; // what was to be chosen once the versions are known gives way to what somebody chose
      this.#showLabel();
      onchange();
    });
    this.label.addEventListener("change", onchange);
    this.#offer([]);
  }

  // What is chosen; a version or a label only if one is.
  spec() {
    const name = this.name.value.trim(), version = this.version.value, label = this.label.value.trim();
    if (version === LABEL) return label ? { name, label } : { name };
    return version === LATEST ? { name } : { name, version };
  }

  // Chooses.
  async set({ name = "", version, label }) {
    if (this.name.tagName === "SELECT" && name && ![...this.name.options].some(({ value }) => value === name))
      this.name.append(option(name));
    if (name) this.name.value = name;
    this.label.value = label ?? "";
    this.wanted = version ?? (label ? LABEL : LATEST);
    this.#offer([]);
    await this.#takeVersions();
  }

  async #takeVersions() {
    const name = this.name.value.trim();
    if (!name) return;
    try {
      this.#offer(await statusOf(name));
    } catch (error) {
      this.#offer([]);
      this.onerror(error);
    }
  }

  #offer(versions) {
    const wanted = this.wanted ?? this.version.value ?? LATEST;
    const known = versions.map(({ version, state }) => {
      const disabled = state !== "AVAILABLE";
      const words = disabled ? `${version} (${state.toLowerCase()})` : version;
      return element("option", { value: version, disabled }, words);
    });
    if (![LATEST, LABEL, "", ...versions.map(({ version }) => version)].includes(wanted)) known.push(option(wanted));
    this.version.replaceChildren(option(LATEST), ...known, element("option", { value: LABEL }, "by label"));
    this.version.value = wanted || LATEST;
    if (versions.length) this.wanted = undefined;
    this.#showLabel();
  }

  #showLabel() {
    this.labelField.hidden = this.version.value !== LABEL;
  }
}

function option(name) {
  return element("option", { value: name }, name);
}

function field(words, input) {
  return element("label", { htmlFor: input.id }, element("span", {}, words), input);
}
