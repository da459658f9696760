"""Turns are taken as said, and what is compared survives JSON."""

import json

import pytest

from charflow.benchmarks.comparison import LIMIT, OURS, PEER, Candidate, Comparison, Way, by_turns, from_json


def compared(*figures: float, kind: str = PEER, less_is_better: bool = False) -> Comparison:
    ours = Way(name="ours", kind=OURS, figures=(2.0, 4.0, 6.0))
    return Comparison(
        what="a text",
        unit="s",
        about="Written.",
        ways=(ours, Way(name="other", kind=kind, figures=figures)),
        less_is_better=less_is_better,
    )


def test_turns_are_taken_one_after_the_other_and_the_first_does_not_count() -> None:
    calls: list[str] = []
    figures = iter(range(100))

    def work(name: str) -> float:
        calls.append(name)
        return next(figures)

    candidates = [Candidate(name=name, kind=OURS, work=lambda name=name: work(name), amount=None) for name in "ab"]
    ways = by_turns(candidates, turns=2)
    assert calls == ["a", "b"] * 3
    assert [way.figures for way in ways] == [(2.0, 4.0), (3.0, 5.0)]


def test_an_amount_is_divided_by_the_seconds_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.0, 14.0])
    monkeypatch.setattr("charflow.benchmarks.comparison.time.perf_counter", lambda: next(clock))
    (way,) = by_turns([Candidate(name="a", kind=OURS, work=lambda: None, amount=8.0)], turns=1)
    assert way.figures == (2.0,)


@pytest.mark.parametrize(
    ("comparison", "verdict"),
    [
        (compared(1.0, 2.0, 9.0), "2.0x"),
        (compared(8.0), "0.50x"),
        (compared(8.0, less_is_better=True), "2.0x"),
        (compared(8.0, kind=LIMIT), "50 %"),
        (compared(0.001), "4,000x"),
    ],
    ids=["median", "worse", "less is better", "limit", "thousands"],
)
def test_verdict(comparison: Comparison, verdict: str) -> None:
    assert [comparison.verdict(way) for way in comparison.ways] == ["", verdict]


def test_limits_alone_are_compared_with_nothing() -> None:
    ways = tuple(Way(name=name, kind=LIMIT, figures=(1.0,)) for name in "ab")
    comparison = Comparison(what="products", unit="GFLOP/s", about="", ways=ways)
    assert [comparison.verdict(way) for way in ways] == ["", ""]


def test_json_gives_the_comparison_back() -> None:
    comparison = compared(1.5, 2.5, less_is_better=True)
    written = json.loads(json.dumps(comparison.as_json()))
    assert from_json(written) == comparison
    assert written["ways"][1]["ratio"] == 0.5


def test_spread_is_of_several_turns() -> None:
    ours, other = compared(1.5).ways
    assert (ours.spread, other.spread) == ("2 to 6", "")
