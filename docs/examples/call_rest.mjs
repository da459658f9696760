// Calls a served model over REST, with nothing but Node 18 or later: node call_rest.mjs [http://HOST:PORT [MODEL]]
const [server = "http://127.0.0.1:8501", model = "a"] = process.argv.slice(2);

const answer = await fetch(`${server}/v1/models/${model}:predict`, {
  method: "POST",
  body: JSON.stringify({
    signature_name: "generate",
    instances: [
      { prompt: "how do i ", max_chars: 60, temperature: 0.5, top_k: 0, top_p: 1.0, seed: 7, stop: "" },
    ],
  }),
  signal: AbortSignal.timeout(30_000),
});
const { error, predictions } = await answer.json();
if (!answer.ok) throw new Error(`${answer.status}: ${error}`);
console.log(predictions[0].text);
