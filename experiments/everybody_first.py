"""Shows for whom it pays to learn everybody first: the held-out bits of people, alone and after everybody.

    python experiments/everybody_first.py CHAT USER... [--steps 2000] [--share 0.75]

CHAT is a file of messages, USER the id of a person. Of each one both runs have the same number of steps in all,
everybody's included: a step takes as long in either, and unlike a time limit it is the same on a busy machine. The run
on everybody is made once, as it is for whoever comes second. Prints a Markdown table.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from charflow.model.run.run_dir import RunDir
from charflow.pipeline.corpus.corpus import build_corpus

_CHARFLOW = [sys.executable, "-m", "charflow"]
_MIN_COUNT = 20  # as `training.everybody` has it


def train(chat: str, out: Path, *options: object) -> dict:
    """Makes a run; gives the figures that it reports."""
    command = [*_CHARFLOW, "train", chat, "--out", str(out), *map(str, options), "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def characters(run: Path) -> int:
    """How many a run has to learn."""
    config, _ = RunDir(run).load()
    return build_corpus(config.data, config.corpus).split


def bits(found: dict) -> str:
    return f"{found['bits_per_char']:.3f} ({found['best_step']:,} of {found['steps']:,})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chat", metavar="CHAT")
    parser.add_argument("users", metavar="USER", nargs="+")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.75, help="of the steps, for everybody")
    given = parser.parse_args()
    first = round(given.share * given.steps)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        everybody = train(given.chat, base, "--min-count", _MIN_COUNT, "--steps", first)
        print(f"Everybody: {bits(everybody)}\n", flush=True)
        print("| characters to learn | alone (best at step) | after everybody (best at step) |")
        print("| ---: | ---: | ---: |", flush=True)
        for user in given.users:
            own = ["--user", user, "--steps"]
            limits = [given.steps - first, "--epochs", 1, "--from", base]
            after = train(given.chat, Path(folder) / f"{user}-after", *own, *limits)
            run = Path(folder) / f"{user}-alone"
            alone = train(given.chat, run, *own, given.steps, "--from", "none")
            print(f"| {characters(run):,} | {bits(alone)} | {bits(after)} |", flush=True)


if __name__ == "__main__":
    main()
