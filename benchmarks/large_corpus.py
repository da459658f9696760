"""Prepares a chat of any size and trains on it from disk, and prints time and peak memory. Prints a Markdown table.

    python benchmarks/large_corpus.py [--gigabytes 1] [--seconds 60]

The chat is the sample chat that charflow writes itself, repeated. The peak is the resident memory of the whole command
at its highest (ru_maxrss), the file pages that it maps included.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from charflow.pipeline.sample_chat import write_sample_chat

_CHARFLOW = [sys.executable, "-m", "charflow"]


def write_chat(path: Path, size: int) -> None:
    base = path.with_name("base.csv")
    write_sample_chat(str(base), messages=40_000)
    head, _, body = base.read_bytes().partition(b"\n")
    with path.open("wb") as file:
        file.write(head + b"\n")
        for _ in range(max(1, round(size / len(body)))):
            file.write(body)


def run(*arguments: object) -> tuple[float, int]:
    """Runs a command; gives its seconds and its peak resident bytes."""
    began = time.monotonic()
    process = subprocess.Popen([*_CHARFLOW, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"charflow {arguments[0]} ended with status {os.waitstatus_to_exitcode(status)}.")
    return time.monotonic() - began, usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chat, corpus = Path(folder) / "chat.csv", Path(folder) / "corpus"
        write_chat(chat, round(arguments.gigabytes * 1e9))
        print(f"{chat.stat().st_size / 1e9:.2f} GB of CSV, {platform.machine()}, {os.cpu_count()} CPUs\n")
        print("| command | seconds | peak memory |\n| --- | ---: | ---: |", flush=True)
        seconds, peak = run("prepare", chat, "--to", corpus)
        print(f"| prepare | {seconds:.0f} | {peak / 1e6:.0f} MB |", flush=True)
        limit = ["--time-limit", arguments.seconds, "--evaluations", 2]
        seconds, peak = run("train", corpus, "--out", Path(folder) / "run", "--streaming", *limit)
        print(f"| train --streaming --time-limit {arguments.seconds:g} | {seconds:.0f} | {peak / 1e6:.0f} MB |")


if __name__ == "__main__":
    main()
