// Calls a served model over REST, with nothing but Node 18 or later:
//
//   node examples/node/rest.mjs [http://HOST:PORT [MODEL [PROMPT [SEED]]]]
const [server = "http://127.0.0.1:8501", model = "a", prompt = "how do i ", seed = "7"] = process.argv.slice(2);
const url = `${server}/v1/models/${model}`;

async function ask(path, body) {
  const answer = await fetch(url + path, {
    ...(body && { method: "POST", body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Error(`${answer.status}: ${found.error}`);
  return found;
}

// REST must name every input of a signature; the metadata have the defaults, one tensor each.
const { metadata } = await ask("/metadata");
const defaults = Object.entries(metadata.signature_def.signature_def.generate.defaults).map(([name, tensor]) => [
  name,
  tensor.dtype === "DT_STRING"
    ? { b64: tensor.string_val[0] }
    : tensor.dtype === "DT_BOOL"
      ? tensor.bool_val[0]
      : Number([...tensor.float_val, ...tensor.int_val, ...tensor.int64_val][0]),
]);

const { predictions } = await ask(":predict", {
  signature_name: "generate",
  instances: [{ ...Object.fromEntries(defaults), prompt, max_chars: 60, seed: Number(seed) }],
});
console.log(predictions[0].text);
