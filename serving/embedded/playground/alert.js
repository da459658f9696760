// Says what went wrong, in a sentence, and offers to go on.
import { byId, element } from "./elements.js";
import { ServerError, Unreachable } from "./server.js";
import { FieldError } from "./settings_form.js";

const panel = byId("alert");

// again: { words, act } of a button, if there is something to do.
export function showError(error, again) {
  if (!(error instanceof Error) || error.name === "AbortError") return;
  const parts = [element("p", {}, element("strong", {}, titleOf(error)), ` ${error.message}`)];
  if (error instanceof Unreachable) parts.push(element("p", {}, "What is there stays."));
  if (again) parts.push(element("button", { type: "button", onclick: again.act }, again.words));
  panel.replaceChildren(...parts);
  panel.hidden = false;
  error.input?.focus();
}

export function hideError() {
  panel.hidden = true;
  panel.replaceChildren();
}

// Hides an error that offers nothing: a button must not go away under the pointer.
export function hideRemark() {
  if (!panel.querySelector("button")) hideError();
}

function titleOf(error) {
  if (error instanceof ServerError) return `The server says (${error.status}):`;
  if (error instanceof Unreachable) return "Nobody there.";
  if (error instanceof FieldError) return "Please look again:";
  return "That did not work:";
}
