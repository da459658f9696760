"""Shows how texts end by themselves, and what it costs to learn where messages end. Prints Markdown tables.

    python experiments/endings.py CSV --user ID [--steps 1500] [--seeds 3] [--texts 20] [--temperature 0.8]

Trains with and without ends, all else equal, for as many steps; the first of the runs with ends then writes messages,
whose lengths stand beside those of the person's own messages that it learned from.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from charflow.model.decoding.generator import Generator
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.corpus.corpus import build_corpus
from charflow.pipeline.marks import END

MOST = 400  # characters of a text that does not end


def train(csv: str, user: str, run: Path, *, ends: bool, seed: int, steps: int) -> float:
    """Trains the default preset; gives the held-out bits per character."""
    words = ["train", csv, "--user", user, "--out", str(run), "--ends" if ends else "--no-ends"]
    limits = ["--seed", str(seed), "--steps", str(steps), "--json"]
    done = subprocess.run([sys.executable, "-m", "charflow", *words, *limits], stdout=subprocess.PIPE, check=True)
    return float(json.loads(done.stdout)["bits_per_char"])


def bits_table(found: dict[bool, list[float]]) -> list[str]:
    rows = [
        f"| {'END' if ends else 'a blank'} | {np.mean(bits):.4f} | {', '.join(f'{each:.4f}' for each in bits)} |"
        for ends, bits in found.items()
    ]
    return ["| after each message | held-out bits per character | of each seed |", "| --- | --- | --- |", *rows]


def endings_table(run: Path, *, texts: int, temperature: float) -> list[str]:
    config, _ = RunDir(run).load()
    corpus = build_corpus(config.data, config.corpus)
    own = [len(message) for message in corpus.vocabulary.decode(corpus.train_ids).split(END)[:-1]]
    written = Generator.load(run).generate([""] * texts, max_chars=MOST, temperature=temperature)
    lengths = [text.length for text in written]
    ended = sum(text.finish_reason == "end" for text in written)
    return [
        *(f"{number:3d}  {text.finish_reason:6s}  {text.text!r}" for number, text in enumerate(written, 1)),
        "",
        "| | messages | ended by themselves | mean characters | median |",
        "| --- | --- | --- | --- | --- |",
        f"| written at {temperature:g} | {texts} | {ended / texts:.0%} | {np.mean(lengths):.1f} | "
        f"{np.median(lengths):g} |",
        f"| the person's own | {len(own):,} | | {np.mean(own):.1f} | {np.median(own):g} |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv")
    parser.add_argument("--user", required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=0.8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = {ends: [Path(folder) / f"{ends}-{seed}" for seed in range(given.seeds)] for ends in (True, False)}
        found: dict[bool, list[float]] = {True: [], False: []}
        for seed in range(given.seeds):
            for ends in found:  # in turn: what troubles the machine for a while troubles both
                bits = train(given.csv, given.user, runs[ends][seed], ends=ends, seed=seed, steps=given.steps)
                found[ends].append(bits)
        print("\n".join(bits_table(found)), flush=True)
        print("\n".join(["", *endings_table(runs[True][0], texts=given.texts, temperature=given.temperature)]))


if __name__ == "__main__":
    main()
