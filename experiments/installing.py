"""Builds charflow, installs the wheel into an empty environment, and runs the demo in an empty folder. Prints a table.

    python experiments/installing.py [--seconds 60] [--constraints FILE]

Packages come from the index that pip is configured with, not from pip's cache. `--seconds` is how long the demo trains.
Nothing of the checkout is used after the build; all that is written lies in a temporary folder.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What a person's shell has; without what might lead back to the checkout.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def timed(*command: str | Path, cwd: Path) -> float:
    """Runs a command there, and gives the seconds it took; what it writes is shown where it fails."""
    began = time.monotonic()
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, text=True, **both)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{command[0]} ended with status {done.returncode}.")
    return time.monotonic() - began


def size(path: Path) -> str:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file() and not each.is_symlink()]
    n_bytes = sum(each.stat().st_size for each in files)
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes < 1e8 else f"{n_bytes / 1e9:,.2f} GB"


def environment(folder: Path) -> Path:
    """Makes an empty environment, and gives its folder of programs."""
    timed(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin"


def row(what: str, seconds: float, of: Path) -> None:
    print(f"| {what} | {seconds:,.0f} s | {size(of)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--constraints", type=Path)
    given = parser.parse_args()
    pinned = ["--constraint", given.constraints.resolve()] if given.constraints else []
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}\n")
    print("| | time | size |\n| --- | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools, programs, empty = environment(folder / "tools"), environment(folder / "charflow"), folder / "empty"
        empty.mkdir()
        timed(tools / "pip", "install", "build", cwd=folder)
        seconds = timed(tools / "python", "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
        (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
        row("`python -m build`: the wheel", seconds, wheel)
        print(f"| the source distribution | | {size(sdist)} |")
        install = [programs / "pip", "install", "--no-cache-dir", *pinned, wheel]
        row("`pip install`: the environment", timed(*install, cwd=empty), programs.parent)
        row("`charflow --version`", timed(programs / "charflow", "--version", cwd=empty), empty)
        demo = [programs / "charflow", "demo", "--seconds", f"{given.seconds:g}"]
        row(f"`charflow demo`, {given.seconds:g} s of it training: its folder", timed(*demo, cwd=empty), empty)


if __name__ == "__main__":
    main()
