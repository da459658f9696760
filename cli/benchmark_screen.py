"""Shows what benchmarks find: a table when each comparison is there, or all of them as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from charflow.cli.terminal import console
from charflow.cli.terminal.waiting import waiting

if TYPE_CHECKING:
    from charflow.benchmarks.comparison import Comparison
    from charflow.pipeline.formats.inputs import InputFile


def show(benches: "Mapping[str, Iterator[Comparison]]", json: bool, files: "Sequence[InputFile]" = ()) -> None:
    """Prints each comparison when it is there, or all of them as JSON.

    Args:
        benches: what is measured, by the names of the benchmarks.
        json: whether it is for programs.
        files: the chat that was read.
    """
    from charflow.benchmarks.machine import machine

    found: dict[str, list] = {name: [] for name in benches}
    for name, comparisons in benches.items():
        for comparison in _awaited(comparisons):
            found[name].append(comparison.as_json())
            if not json:
                _print(comparison)
    if json:
        console.print_json({"machine": machine(), "chat": {"bytes": _size(files)}, "benches": found})


def _size(files: "Sequence[InputFile]") -> int:
    return sum(Path(file.path).stat().st_size for file in files)


def _awaited(comparisons: "Iterator[Comparison]") -> "Iterator[Comparison]":
    while True:
        with waiting("measuring"):
            found = next(comparisons, None)
        if found is None:
            return
        yield found


def _print(comparison: "Comparison") -> None:
    from charflow.benchmarks.comparison import in_words

    rows = [
        (
            way.label,
            in_words(way.median),
            way.spread,
            comparison.verdict(way),
        )
        for way in comparison.ways
    ]
    heads = [f"{comparison.what}, {comparison.unit}", "median", "least to most", "charflow is"]
    console.columns(console.out, heads, rows, right=3)
    console.out.print()
