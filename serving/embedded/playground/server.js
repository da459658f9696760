// Calls TensorFlow Serving's REST API at this page's own origin: v1/models/… beside the page. Nothing else is asked
// but files beside the page; models.json may list the models' names, of which that API has no list.
import { readJson, writeJson } from "./json.js";

const MODELS = new URL("v1/models/", document.baseURI).href;

// The server answered with an error.
export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Nobody answered.
export class Unreachable extends Error {
  constructor() {
    super(`The server at ${location.host} does not answer.`);
  }
}

// The URL of a call to a model: its name, and a version or a label or neither.
export function urlOf({ name, version, label }, call = "") {
  const path = [name, ...(version ? ["versions", version] : label ? ["labels", label] : [])];
  return `${MODELS}${path.map(encodeURIComponent).join("/")}${call}`;
}

// Runs a signature on columns; gives its outputs, a column each.
export async function predict(spec, signature, inputs, signal) {
  const body = writeJson({ signature_name: signature, inputs });
  return (await ask(urlOf(spec, ":predict"), { method: "POST", body, signal })).outputs;
}

// The versions of a model, the highest first: { version, state }.
export async function statusOf(name, signal) {
  return (await ask(urlOf({ name }), { signal })).model_version_status ?? [];
}

// The version that answers, and the signatures by name.
export async function metadataOf(spec, signal) {
  const { model_spec, metadata } = await ask(urlOf(spec, "/metadata"), { signal });
  return { version: String(model_spec.version), signatures: metadata.signature_def.signature_def };
}

// A JSON file beside the page, or something otherwise where it is not there.
export async function besidePage(name, otherwise) {
  try {
    return await ask(new URL(name, document.baseURI));
  } catch {
    return otherwise;
  }
}

async function ask(url, options) {
  let answer, text;
  try {
    answer = await fetch(url, options);
    text = await answer.text();
  } catch (error) {
    throw error.name === "AbortError" ? error : new Unreachable();
  }
  let body;
  try {
    body = readJson(text);
  } catch {
    const found = text.slice(0, 200) || "nothing";
    throw new ServerError(answer.status, `Not an answer of TensorFlow Serving, but: ${found}`);
  }
  if (!answer.ok) throw new ServerError(answer.status, body.error ?? text);
  return body;
}
