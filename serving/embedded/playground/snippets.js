// The calls that give what is on screen, as curl and as Python that needs no package.
import { writeJson } from "./json.js";
import { urlOf } from "./server.js";

const PYTHON_WORDS = { true: "True", false: "False" };

// calls: [{ spec, signature, rows }], a row being a signature's inputs by name.
export function asCurl(calls) {
  const lines = calls.flatMap(({ spec, ...body }) => [
    `curl -s -d ${quoted(writeJson(bodyOf(body)))} \\`,
    `  ${quoted(urlOf(spec, ":predict"))}`,
  ]);
  return lines.join("\n");
}

export function asPython(calls) {
  const asked = calls.map(({ spec, ...body }) => {
    const parts = [JSON.stringify(urlOf(spec, ":predict")), writeJson(bodyOf(body), PYTHON_WORDS)];
    return `    (\n${parts.map((part) => `        ${part},\n`).join("")}    ),\n`;
  });
  return `import json
import urllib.request

CALLS = [
${asked.join("")}]
for url, body in CALLS:
    with urllib.request.urlopen(url, json.dumps(body).encode()) as answer:
        for prediction in json.load(answer)["predictions"]:
            print(prediction)
`;
}

function bodyOf({ signature, rows }) {
  return { signature_name: signature, instances: rows };
}

// A word of the shell.
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
