"""Writes docs/performance.md and its pictures from docs/performance.json, which `charflow bench all --json` gives.

    python -m docs.performance                 # the page, from the figures that are there
    python -m docs.performance --against FILE  # compares the ratios of a fresh measurement with those of the page

Nothing in the page is typed by hand: what is measured, how, and every figure come from the JSON.
"""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from charflow.benchmarks.comparison import LIMIT, OURS, Comparison, Way, from_json, in_words
from docs import pictures

HERE = Path(__file__).parent
FIGURES, PAGE = HERE / "performance.json", HERE / "performance.md"
_TITLES = {
    "machine": "The machine",
    "pipeline": "From a chat to windows",
    "train": "Training",
    "decode": "Writing",
    "serve": "Serving",
}
_START = """\
Written by `make bench` from [one run]({figures}) of `charflow bench all`: {machine}. The chat has \
{megabytes:,.0f} MB. The ways to do the same took turns in one process, after one turn that does not count; the \
figures are medians of their turns. On a machine that others use, too, trust the ratios more than the absolute figures.

**charflow is** so many times as good as another way, and reaches so much of a limit, which does a part of the work.
[What was tried](experiments.md) to get there, and [the figures of a GPU](gpu.md), are on pages of their own.
"""
_COMMAND = """\
<!-- not run: takes minutes -->
```sh
charflow bench all chat.csv --user ID
```
"""

# Of the ratio that the page has, before a fresh one is called slower: two runs of the same code on a shared machine
# differed by 0.6 where one way waits for memory, and the other for the start of small ops.
_MAY_FALL_TO = 0.55
_LEFT, _RIGHT, _ROW = 16, 464, 40


def page(found: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    start = _START.format(
        figures=FIGURES.name, machine=_machine(found["machine"]), megabytes=found["chat"]["bytes"] / 1e6
    )
    told = "\n\n".join(map(_wrapped, start.split("\n\n")))
    return "\n".join(
        ["# Performance\n", told, "", _COMMAND, *(_section(name, comparisons) for name, comparisons in _benches(found))]
    )


def drawn(found: Mapping[str, Any]) -> dict[str, str]:
    """The pictures by their names, as SVG."""
    return {f"bench-{name}": _picture(_TITLES[name], each) for name, each in _benches(found) if name != "machine"}


def _benches(found: Mapping[str, Any]) -> Iterator[tuple[str, list[Comparison]]]:
    for name, comparisons in found["benches"].items():
        yield name, [from_json(each) for each in comparisons]


def _machine(found: Mapping[str, Any]) -> str:
    gpus = f", {', '.join(found['gpus'])}" if found["gpus"] else ", no GPU"
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"{found['cores']} cores of {found['processor']}{gpus}, Python {found['python']}, {versions}"


def _section(name: str, comparisons: list[Comparison]) -> str:
    described = f"{_TITLES[name]}: a bar for each way of the tables below."
    shown = f"![{described}](pictures/bench-{name}.svg)\n\n"
    tables = "\n".join(_table(each) for each in comparisons)
    return f"## {_TITLES[name]}\n\n{'' if name == 'machine' else shown}{tables}"


def _table(comparison: Comparison) -> str:
    better = "; less is better" if comparison.less_is_better else ""
    rows = [
        f"| {_name(way)} | {in_words(way.median)} | {way.spread} | {comparison.verdict(way)} |"
        for way in comparison.ways
    ]
    head = f"| {comparison.unit}{better} | median | least to most | charflow is |\n| --- | ---: | ---: | ---: |"
    title = comparison.what[0].upper() + comparison.what[1:]
    return f"### {title}\n\n{_wrapped(comparison.about)}\n\n{head}\n" + "\n".join(rows) + "\n"


def _name(way: Way) -> str:
    return f"**{way.name}**" if way.kind == OURS else way.label


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _picture(title: str, comparisons: list[Comparison]) -> str:
    """A bar for every way, its length by the largest figure of its comparison."""
    parts: list[str] = []
    y = 12.0
    for comparison in comparisons:
        y += 22
        better = ", less is better" if comparison.less_is_better else ""
        parts.append(pictures.text(_LEFT, y, f"{comparison.what}, {comparison.unit}{better}"))
        most = max(way.median for way in comparison.ways)
        for way in comparison.ways:
            parts.append(_bar(y, way, comparison, most))
            y += _ROW
        y += 12
    return pictures.picture(title, round(y + 4), iter(parts))


def _bar(y: float, way: Way, comparison: Comparison, most: float) -> str:
    kind = {OURS: "hot", LIMIT: "off"}.get(way.kind, "box")
    verdict = comparison.verdict(way)
    figure = f"{in_words(way.median)}{f' ({verdict})' if verdict else ''}"
    length = max(2.0, (_RIGHT - _LEFT) * way.median / most)
    return (
        pictures.text(_LEFT, y + 20, way.label, "dim")
        + pictures.text(_RIGHT, y + 20, figure, "dim", "end")
        + f'<rect class="{kind}" x="{_LEFT}" y="{y + 26}" width="{length:.1f}" height="9" rx="2"/>'
    )


def slower(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Names each ratio to a peer or a limit that has fallen, and each comparison that is gone."""
    fresh = {(bench, each.what): each for bench, found in _benches(now) for each in found}
    for bench, comparisons in _benches(before):
        for comparison in comparisons if bench != "machine" else []:
            again = fresh.get((bench, comparison.what))
            if again is None:
                yield f"{bench}: {comparison.what}: not measured"
                continue
            known = {way.name: again.ratio(way) for way in again.ways}
            for way in comparison.ways[1:]:
                ratio = comparison.ratio(way)
                if way.kind != OURS and known.get(way.name, ratio) < _MAY_FALL_TO * ratio:
                    yield f"{bench}: {comparison.what}: {known[way.name]:.3g} of {way.name}, and was {ratio:.3g}"


def main() -> None:
    """Writes the page, or compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="FILE", type=Path)
    against = parser.parse_args().against
    found = json.loads(FIGURES.read_text(encoding="utf-8"))
    if against:
        lines = list(slower(found, json.loads(against.read_text(encoding="utf-8"))))
        print("\n".join(lines) or "No ratio has fallen below what the page has.")
        sys.exit(1 if lines else 0)
    PAGE.write_text(page(found), encoding="utf-8")
    for name, svg in drawn(found).items():
        (pictures.FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
