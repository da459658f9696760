// What else a model might have written at a place: the signature `next_char` on what stands before it.
import { predict } from "./server.js";

const KEPT = 500; // answers; the oldest go first

export class Alternatives {
  #found = new Map();
  #controller = new AbortController();

  // [{ char, probability }], most likely first; null if another place was asked for meanwhile.
  async after(model, prefix) {
    const key = JSON.stringify([model.spec, prefix]);
    if (this.#found.has(key)) return this.#found.get(key);
    this.#controller.abort();
    this.#controller = new AbortController();
    try {
      const answer = await predict(model.spec, "next_char", { prompt: [prefix] }, this.#controller.signal);
      const ranked = answer.chars[0].map((char, i) => ({ char, probability: answer.probabilities[0][i] }));
      if (this.#found.size >= KEPT) this.#found.delete(this.#found.keys().next().value);
      this.#found.set(key, ranked);
      return ranked;
    } catch (error) {
      if (error.name === "AbortError") return null;
      throw error;
    }
  }
}
