// Copies a text; where the browser does not let a page do so, as over plain HTTP from another machine, it is shown.
import { byId } from "./elements.js";

// Gives what happened, in a word or two.
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    return `${what} copied.`;
  } catch {
    byId("code-text").value = text;
    byId("code").showModal();
    byId("code-text").select();
    return `${what} to copy is shown.`;
  }
}
