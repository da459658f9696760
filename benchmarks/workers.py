"""Compares training in one process with `charflow launch --workers N`, by turns in one run. Prints a Markdown table.

    python benchmarks/workers.py CSV --user ID [--workers 2] [--seconds 20] [--batch-sizes 32 128]
        [-- more options of charflow train]

The windows a second are those that `charflow train --json` reports: the mean over the run, without compilation and
evaluations.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def train(folder: str, data: list[str], launch: list[str]) -> dict[str, Any]:
    out = Path(folder) / f"run-{len(list(Path(folder).iterdir()))}"
    command = [sys.executable, "-m", "charflow", *launch, "train", *data, "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv")
    parser.add_argument("--user", required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128])
    arguments, more = parser.parse_known_args()
    launch = ["launch", "--workers", str(arguments.workers), "--"]
    print(f"{platform.machine()}, {os.cpu_count()} CPUs; median of 3 runs each, by turns\n")
    print(f"| global batch | 1 process | {arguments.workers} workers | ratio |\n| ---: | ---: | ---: | ---: |")
    for batch_size in arguments.batch_sizes:
        data = [arguments.csv, "--user", arguments.user, "--time-limit", str(arguments.seconds)]
        data += ["--from", "none", "--batch-size", str(batch_size), "--evaluations", "1", *more]
        paces: dict[str, list[float]] = {"alone": [], "together": []}
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(3):
                paces["alone"].append(train(folder, data, [])["windows_per_second"])
                paces["together"].append(train(folder, data, launch)["windows_per_second"])
        alone, together = (float(np.median(found)) for found in paces.values())
        print(f"| {batch_size} | {alone:,.0f} windows/s | {together:,.0f} windows/s | {together / alone:.2f}x |")


if __name__ == "__main__":
    main()
