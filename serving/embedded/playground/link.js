// The link that reproduces what is on screen: everything that is asked stands in the URL's fragment, which browsers
// send to no server. `state` is what main.js reads from the controls and puts back into them.

const TEXTS = ["prompt", "text", "replyTo"];
const SPEC = ["name", "version", "label"];
const SETTING = "set."; // before a setting's name, so that no setting is taken for another part

export function toFragment(state) {
  const parts = new URLSearchParams({ mode: state.mode });
  state.models.forEach((spec, i) => {
    for (const key of SPEC) if (spec[key]) parts.set(`model${i}.${key}`, spec[key]);
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
    const given = SPEC.filter((key) => parts.has(`model${i}.${key}`));
    return Object.fromEntries(given.map((key) => [key, parts.get(`model${i}.${key}`)]));
  });
  const settings = [...parts].filter(([key]) => key.startsWith(SETTING));
  return {
    mode: parts.get("mode"),
    models: models.filter(({ name }) => name),
    ...Object.fromEntries(TEXTS.map((name) => [name, parts.get(name) ?? ""])),
    temperatures: parts.get("temperatures")?.split(" "),
    settings: Object.fromEntries(settings.map(([key, value]) => [key.slice(SETTING.length), value])),
    look: parts.get("look")?.split(" ").map(Number),
  };
}
