// The link that reproduces what is on screen: everything that is asked stands in the URL's fragment, which browsers send
// to no server. `state` is what main.js reads from the controls and puts back into them.

const TEXTS = ["prompt", "text", "replyTo"];
const SETTING = "set."; // before a setting's name, so that no setting is taken for another part

export function toFragment(state) {
  const parts = new URLSearchParams({ mode: state.mode });
  state.models.forEach((spec, i) => {
    for (const key of ["name", "version", "label"]) if (spec[key]) parts.set(`model${i}.${key}`, spec[key]);
  });
  for (const name of TEXTS) if (state[name]) parts.set(name, state[name]);
  if (state.temperatures) parts.set("temperatures", state.temperatures.join(" "));
  for (const [name, value] of Object.entries(state.settings ?? {})) parts.set(SETTING + name, value);
  if (state.look) parts.set("look", state.look.join(" "));
  return `#${parts}`;
}

// null where there is nothing to reproduce.
export function fromFragment(fragment) {
  const parts = new URLSearchParams(fragment.slice(1));
  if (!parts.has("mode")) return null;
  const models = [0, 1].map((i) => {
    const spec = {};
    for (const key of ["name", "version", "label"]) if (parts.has(`model${i}.${key}`)) spec[key] = parts.get(`model${i}.${key}`);
    return spec;
  });
  const settings = [...parts].filter(([key]) => key.startsWith(SETTING)).map(([key, value]) => [key.slice(SETTING.length), value]);
  return {
    mode: parts.get("mode"),
    models: models.filter(({ name }) => name),
    ...Object.fromEntries(TEXTS.map((name) => [name, parts.get(name) ?? ""])),
    temperatures: parts.get("temperatures")?.split(" "),
    settings: Object.fromEntries(settings),
    look: parts.get("look")?.split(" ").map(Number),
  };
}
