"""Shows for whom it pays to learn everybody first: the held-out bits of people, alone and after everybody.

    python benchmarks/everybody_first.py CHAT USER... [--seconds 120] [--share 0.75]

CHAT is a file of messages, USER the id of a person. Of each one both runs have the same time, everybody's run included,
which is made anew each time; which of the two is first alternates, so that what troubles the machine for a while
troubles both kinds. Prints a Markdown table.
"""

import argparse
import json
import os
import platform
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chat", metavar="CHAT")
    parser.add_argument("users", metavar="USER", nargs="+")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--share", type=float, default=0.75, help="of the time, for everybody")
    given = parser.parse_args()
    first, second = given.share * given.seconds, (1 - given.share) * given.seconds

    def alone(user: str, folder: Path) -> dict:
        return train(given.chat, folder / "alone", "--user", user, "--from", "none", "--time-limit", given.seconds)

    def after_everybody(user: str, folder: Path) -> dict:
        train(given.chat, folder / "base", "--min-count", _MIN_COUNT, "--time-limit", first)
        limits = ["--epochs", 1, "--time-limit", second]
        return train(given.chat, folder / "after", "--user", user, "--from", folder / "base", *limits)

    print(f"{given.seconds:g} s in all, {given.share:.0%} for everybody, {platform.machine()}, {os.cpu_count()} CPUs\n")
    print("| characters to learn | alone (best at step) | after everybody (best at step) |\n| ---: | ---: | ---: |")
    for index, user in enumerate(given.users):
        with tempfile.TemporaryDirectory() as folder:
            runs = [alone, after_everybody]
            found = {run: run(user, Path(folder)) for run in (reversed(runs) if index % 2 else runs)}
            bits = [
                f"{found[run]['bits_per_char']:.3f} ({found[run]['best_step']:,} of {found[run]['steps']:,})"
                for run in runs
            ]
            print(f"| {characters(Path(folder) / 'alone'):,} | {' | '.join(bits)} |", flush=True)


if __name__ == "__main__":
    main()
