"""Writes with a model that charflow exported for LiteRT; needs NumPy and ai-edge-litert, and nothing of charflow.

    python run.py "how do i " --seed 7 [--temperature 0.5] [--length 400] [--model model_int8.tflite]

One step of the model reads a character: ids int32 [1] and state float32 [1, S] give logits float32 [1, V] and the next
state. Here they are read and drawn as charflow does it, so that the same seed writes the same text. `litert` copies
this file as run.py beside the models.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

GAMMA, MIX = np.uint64(0x9E3779B97F4A7C15), ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))  # SplitMix64
NEVER = np.float32(-1e30)


class Runner:
    """A model and its vocabulary.

    Args:
        model: the .tflite file; model.json stands beside it.
    """

    def __init__(self, model: Path | str) -> None:
        self.facts = json.loads(Path(model).with_name("model.json").read_text(encoding="utf-8"))
        self.ids = {char: place for place, char in enumerate(self.facts["chars"])}
        self._interpreter = Interpreter(str(model))
        self._step = self._interpreter.get_signature_runner()
        self.state = np.zeros([1, self.facts["state_size"]], np.float32)

    def read(self, char_id: int) -> np.ndarray:
        """Reads a character; gives the logits of the next one, float32 [V]."""
        answer = self._step(ids=np.array([char_id], np.int32), state=self.state)
        self.state = answer["state"]
        logits: np.ndarray = answer["logits"][0]
        return logits

    def generate(self, prompt: str, *, max_chars: int = 400, temperature: float = 0.5, seed: int = 0) -> str:
        """Completes a prompt, to the end of a message at most: as `generate` of the exported model does."""
        self.state = np.zeros_like(self.state)
        prompt = prompt.lower() if self.facts["lowercase"] else prompt
        for char in prompt or self.facts["opening"]:
            logits = self.read(self.ids.get(char, 0))
        end, written = self.facts["end"], ""
        for place, number in enumerate(uniforms(seed, max_chars)):
            if place == 0 and end is not None:
                logits[end] = NEVER  # a message has a character at least
            char_id = draw(logits, temperature, number)
            if char_id == end:
                break
            written += self.facts["chars"][char_id]
            logits = self.read(char_id)
        return written


def uniforms(seed: int, count: int) -> np.ndarray:
    """The numbers that the characters of a text are drawn with, float32 [count] in [0, 1)."""
    start = mix(np.array([seed % 2**64], np.uint64) * GAMMA)
    bits = mix(start + np.arange(1, count + 1, dtype=np.uint64) * GAMMA)
    return (bits >> 41).astype(np.float32) * np.float32(2**-23)


def mix(bits: np.ndarray) -> np.ndarray:
    """Scatters bits, uint64 of any shape."""
    for shift, factor in MIX:
        bits = (bits ^ (bits >> shift)) * np.uint64(factor)
    return bits ^ (bits >> 31)


def draw(logits: np.ndarray, temperature: float, number: np.float32) -> int:
    """Takes an id by its probability: the first whose cumulative one exceeds the number; at 0 degrees the likeliest."""
    if temperature <= 0:
        return int(np.argmax(logits))
    scaled = logits * np.float32(1 / temperature)
    powers = np.exp(scaled - scaled.max())
    cumulative = np.cumsum(powers / powers.sum())
    return int(np.searchsorted(cumulative, number * cumulative[-1], side="right"))


def main() -> None:
    """Prints a completion."""
    parser = argparse.ArgumentParser(description="Completes a prompt.")
    parser.add_argument("prompt")
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("model.tflite"))
    parser.add_argument("--length", type=int, default=400, help="characters to write at most")
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    runner = Runner(asked.model)
    print(runner.generate(asked.prompt, max_chars=asked.length, temperature=asked.temperature, seed=asked.seed))


if __name__ == "__main__":
    main()
