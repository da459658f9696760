"""Prints what benchmarks found on a GPU and on the CPU beside it, as Markdown: `gpu.sh` calls it.

    python -m charflow.benchmarks.side_by_side FOLDER

FOLDER holds gpu-NAME.json and cpu-NAME.json, which `charflow bench ... --json` gave.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from charflow.benchmarks.comparison import OURS, Comparison, Way, from_json, in_words


def tables(folder: Path) -> Iterator[str]:
    """One table for each measurement that the GPU has; charflow's own ways alone."""
    for path in sorted(folder.glob("gpu-*.json")):
        gpu = _comparisons(path)
        cpu = _comparisons(path.with_name(path.name.replace("gpu-", "cpu-", 1)))
        for comparison in gpu:
            beside = next((each for each in cpu if each.what == comparison.what), None)
            yield from _table(path.stem.removeprefix("gpu-"), comparison, beside)


def _comparisons(path: Path) -> list[Comparison]:
    benches = json.loads(path.read_text(encoding="utf-8")).get("benches", {}) if path.exists() else {}
    return [from_json(each) for found in benches.values() for each in found]


def _table(name: str, gpu: Comparison, cpu: Comparison | None) -> Iterator[str]:
    yield f"| {name}: {gpu.what}, {gpu.unit} | GPU | CPU | ratio |\n| --- | ---: | ---: | ---: |"
    for way in gpu.ways:
        if way.kind == OURS:
            other = _same(way, cpu)
            ratio = f"{way.median / other.median:.2g}x" if other else "-"
            yield f"| {way.name} | {in_words(way.median)} | {in_words(other.median) if other else '-'} | {ratio} |"
    yield ""


def _same(way: Way, cpu: Comparison | None) -> Way | None:
    """The way of the CPU that has this name, or the place of the GPU's own row."""
    name = way.name.replace("one GPU", "one CPU")
    return next((each for each in cpu.ways if each.name == name), None) if cpu else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    for line in tables(parser.parse_args().folder):
        print(line)
