"""The same work done several ways, by turns: what every benchmark gives.

Ways that take turns in one process meet the same other work on the machine, so what is compared are ratios.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["charflow", "peer", "limit"]
OURS: Kind = "charflow"
PEER: Kind = "peer"  # another program, or another way to do the same
LIMIT: Kind = "limit"  # a part of the work that nothing can be done without

_SMALL = 10  # below it figures have a decimal place


@dataclass(frozen=True, kw_only=True)
class Way:
    """How well one way does.

    Attributes:
        name: what is done.
        kind: whose it is.
        figures: one a turn, in the unit of the comparison.
    """

    name: str
    kind: Kind
    figures: tuple[float, ...]

    @property
    def label(self) -> str:
        """Its name, as tables and pictures have it."""
        return f"limit: {self.name}" if self.kind == LIMIT else self.name

    @property
    def median(self) -> float:
        """Of the turns."""
        return statistics.median(self.figures)

    @property
    def spread(self) -> str:
        """The least and the most of the turns, in words; nothing where there was one."""
        least, most = min(self.figures), max(self.figures)
        return f"{in_words(least)} to {in_words(most)}" if len(self.figures) > 1 else ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several ways to do the same.

    Attributes:
        what: is done.
        unit: of the figures.
        about: what is measured and how, in a sentence or two, without a figure.
        ways: charflow's first.
        less_is_better: as it is with seconds and bytes.
    """

    what: str
    unit: str
    about: str
    ways: tuple[Way, ...]
    less_is_better: bool = False

    def ratio(self, way: Way) -> float:
        """How many times as well as this way charflow's first one does: more than 1 is better.

        >>> ways = [Way(name=name, kind=OURS, figures=(figure,)) for name, figure in (("ours", 4.0), ("theirs", 2.0))]
        >>> Comparison(what="a text", unit="s", about="", ways=tuple(ways), less_is_better=True).ratio(ways[1])
        0.5
        """
        ours, other = self.ways[0].median, way.median
        return other / ours if self.less_is_better else ours / other

    def verdict(self, way: Way) -> str:
        """The ratio in words: times as well as a peer, a share of a limit; of charflow's first way nothing.

        >>> ways = [("ours", OURS, 4.0), ("theirs", PEER, 0.5), ("bound", LIMIT, 8.0)]
        >>> ways = tuple(Way(name=name, kind=kind, figures=(figure,)) for name, kind, figure in ways)
        >>> [Comparison(what="a text", unit="texts/s", about="", ways=ways).verdict(way) for way in ways]
        ['', '8.0x', '50 %']
        """
        ratio = self.ratio(way)
        if way is self.ways[0] or self.ways[0].kind == LIMIT:  # a machine's limits are compared with nothing
            return ""
        if way.kind == LIMIT:
            return f"{in_words(100 * ratio)} %"
        return f"{ratio:,.0f}x" if ratio >= _SMALL else f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2f}x"

    def as_json(self) -> dict[str, Any]:
        """All of it, with what is computed."""
        return {
            "what": self.what,
            "unit": self.unit,
            "about": self.about,
            "less_is_better": self.less_is_better,
            "ways": [
                {
                    "name": way.name,
                    "kind": way.kind,
                    "median": way.median,
                    "least": min(way.figures),
                    "most": max(way.figures),
                    "figures": list(way.figures),
                    "ratio": self.ratio(way),
                }
                for way in self.ways
            ],
        }


def from_json(found: Mapping[str, Any]) -> Comparison:
    """The comparison that `as_json` wrote."""
    ways = [Way(name=each["name"], kind=each["kind"], figures=tuple(each["figures"])) for each in found["ways"]]
    told = {name: found[name] for name in ("what", "unit", "about", "less_is_better")}
    return Comparison(ways=tuple(ways), **told)


def in_words(figure: float) -> str:
    """A figure with three digits or more; two where it is small.

    >>> in_words(28193.4), in_words(5.678), in_words(0.01234)
    ('28,193', '5.7', '0.012')
    """
    return f"{figure:,.0f}" if figure >= _SMALL else f"{figure:.2g}"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A way that is to be measured.

    Attributes:
        name, kind: of the `Way`.
        work: done once a turn; it is done when the call returns.
        amount: how much of the unit one call does; None if `work` returns the figure of its turn itself.
    """

    name: str
    kind: Kind
    work: Callable[[], Any]
    amount: float | None


def by_turns(candidates: Sequence[Candidate], turns: int) -> tuple[Way, ...]:
    """Lets each do its work once uncounted, and then `turns` times, one after the other in each turn."""
    figures: list[list[float]] = [[] for _ in candidates]
    for turn in range(turns + 1):
        for candidate, found in zip(candidates, figures, strict=True):
            figure = _figure(candidate)
            if turn:
                found.append(figure)
    return tuple(
        Way(name=candidate.name, kind=candidate.kind, figures=tuple(found))
        for candidate, found in zip(candidates, figures, strict=True)
    )


def _figure(candidate: Candidate) -> float:
    began = time.perf_counter()
    figure = candidate.work()
    return float(figure) if candidate.amount is None else candidate.amount / (time.perf_counter() - began)
