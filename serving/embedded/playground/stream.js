// Writes texts by the signature `stream`, a character of every row a request: the state is held here, so that any
// replica can write the next one, and the log-probability that comes with a request is that of one character.
import { predict } from "./server.js";

export class Stream {
  // rows: [{ prompt, settings }], the settings by name as JSON has them.
  constructor(model, rows) {
    this.model = model;
    const zeros = Array(model.stateSize).fill(0);
    this.rows = rows.map(({ prompt, settings }) => ({
      prompt,
      settings,
      left: settings.max_chars,
      state: zeros,
      position: 0,
      finish: settings.max_chars > 0n ? "" : "length",
    }));
  }

  // Whether all rows have come to their end.
  get done() {
    return this.rows.every(({ finish }) => finish);
  }

  // Writes the next character of each row that goes on: [{ row, char, logProb, finish }], finish being "" if it does
  // further. A call that fails has changed nothing, and may be made again.
  async next(signal) {
    const going = this.rows.filter(({ finish }) => !finish);
    const answer = await predict(this.model.spec, "stream", this.#inputs(going), signal);
    return going.map((row, i) => this.#advance(row, answer, i));
  }

  #inputs(going) {
    const names = Object.keys(going[0].settings);
    const settings = names.map((name) => [name, going.map((row) => row.settings[name])]);
    return {
      ...Object.fromEntries(settings),
      max_chars: going.map(() => 1),
      prompt: going.map((row) => row.prompt),
      state: going.map((row) => row.state),
      position: going.map((row) => row.position),
    };
  }

  #advance(row, answer, i) {
    const char = answer.text[i], reason = answer.finish_reason[i];
    row.left -= BigInt(answer.length[i]);
    row.prompt = "";
    row.state = answer.state[i];
    row.position = answer.position[i];
    if (reason !== "length") row.finish = reason;
    else if (row.left <= 0n || char === "") row.finish = "length";
    return { row: this.rows.indexOf(row), char, logProb: answer.log_prob[i], finish: row.finish };
  }
}
