"""Compares today's default of some settings with others, one at a time, over the same steps. Prints a Markdown table.

    python experiments/defaults.py CHAT [--steps 1400] [--seeds 3] [more options of charflow train]

None of these settings changes what a step costs, so equal steps are equal time, and the figures do not depend on what
else the machine does. Held-out bits per character of the best of ten evaluations, for each seed, and their median.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

OTHERS: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "--input-init 0 (Glorot's)": ("--input-init", "0"),
    "--input-init 0.6": ("--input-init", "0.6"),
    "--warmup-steps 30": ("--warmup-steps", "30"),
    "--dropout 0.3": ("--dropout", "0.3"),
}


def train(chat: str, folder: Path, *options: str) -> dict:
    """Makes a run; gives the figures that it reports."""
    out = folder / str(len(list(folder.iterdir())))
    command = [sys.executable, "-m", "charflow", "train", chat, "--out", str(out), "--from", "none", *options, "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chat", metavar="CHAT")
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--seeds", type=int, default=3)
    arguments, more = parser.parse_known_args()
    common = ("--steps", str(arguments.steps), "--evaluations", "10", *more)
    print(f"| {arguments.steps:,} steps | held-out bits | by seed |\n| --- | ---: | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, options in OTHERS.items():
            bits = [
                train(arguments.chat, Path(folder), *common, *options, "--seed", str(seed))["bits_per_char"]
                for seed in range(arguments.seeds)
            ]
            each = ", ".join(f"{found:.3f}" for found in bits)
            print(f"| {name} | {statistics.median(bits):.3f} | {each} |", flush=True)


if __name__ == "__main__":
    main()
