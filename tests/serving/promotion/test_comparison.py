"""The comparison of two versions, with models whose scores and times are made up."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from charflow.serving.client.results import Completion, ModelMetadata, Score, Signature, TensorInfo
from charflow.serving.errors import UsageError
from charflow.serving.promotion import comparison as module
from charflow.serving.promotion.comparison import Comparison, compare

TEXTS = ["how do i " + "x" * number for number in range(40)]


class Clock:
    """Time passes when somebody takes it, and other work on the machine takes none."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", CLOCK)


class Made:
    """A model with given bits per character, unknown characters, time and limit; notes what it is asked."""

    def __init__(
        self,
        bits: Callable[[str], float] = lambda text: 2.0,
        *,
        unknown: int = 0,
        seconds: float = 0.001,
        limit: int = 4096,
        calls: list | None = None,
        samplers: dict[str, float] | None = None,
    ) -> None:
        self.samplers = {"top_k": 0} if samplers is None else samplers
        self.bits, self.unknown, self.seconds, self.limit = bits, unknown, seconds, limit
        self.calls = [] if calls is None else calls

    def score(self, texts: list[str]) -> list[Score]:
        return [Score(self.bits(text), (), min(len(text), self.limit), self.unknown) for text in texts]

    def generate(self, prompts: list[str], **settings: Any) -> list[Completion]:
        self.calls.append((self, prompts, settings))
        CLOCK.now += self.seconds
        return [Completion("", 0.0, min(int(settings["max_chars"]), self.limit), "length")]

    def metadata(self) -> ModelMetadata:
        defaults = {"prompt": [""], "max_chars": [400], "temperature": [0.5], "seed": [0], "stop": [""]}
        defaults |= {name: [value] for name, value in self.samplers.items()}
        inputs = {name: TensorInfo("DT_FLOAT", (None,)) for name in defaults}
        return ModelMetadata("a", 1, {"generate": Signature(inputs, {}, defaults)})


def compared(old: Made, new: Made, **changes: Any) -> Comparison:
    settings = {"texts": TEXTS, "prompts": ["", "a"], "requests": 20, "max_slowdown": 1.5}
    return compare(old, new, **(settings | changes))


def wavering(mean: float, spread: float, seed: int) -> Callable[[str], float]:
    drawn = np.random.default_rng(seed).normal(mean, spread, len(TEXTS))
    return lambda text: float(drawn[TEXTS.index(text)])


def test_compare_weighs_texts_by_their_length() -> None:
    old, new = wavering(2.0, 0.3, 0), wavering(2.1, 0.3, 1)
    bits = compared(Made(old), Made(new)).bits
    lengths = np.array([len(text) for text in TEXTS])
    assert bits.incumbent == pytest.approx(np.average([old(text) for text in TEXTS], weights=lengths))
    assert bits.candidate == pytest.approx(np.average([new(text) for text in TEXTS], weights=lengths))
    assert bits.difference == pytest.approx(bits.candidate - bits.incumbent)
    assert bits.texts == 40


def test_standard_error_is_that_of_texts_drawn_anew() -> None:
    old, new = wavering(2.0, 0.3, 0), wavering(2.1, 0.3, 1)
    error = compared(Made(old), Made(new)).bits.error
    lengths = np.array([len(text) for text in TEXTS])
    differences = np.array([new(text) - old(text) for text in TEXTS]) * lengths
    drawn = np.random.default_rng(2).integers(len(TEXTS), size=[4000, len(TEXTS)])
    assert error == pytest.approx(np.std(differences[drawn].sum(1) / lengths[drawn].sum(1)), rel=0.1)


@pytest.mark.parametrize(
    ("candidate", "worse"),
    [
        (lambda text: 2.0, False),
        (lambda text: 1.9, False),
        (lambda text: 2.0 + 1e-5, False),
        (lambda text: 2.01, True),
        (wavering(2.0, 0.3, 5), False),
        (wavering(2.3, 0.3, 5), True),
        (lambda text: math.nan, True),
    ],
    ids=["equal", "better", "rounding", "a little worse on every text", "as good by chance", "worse", "not a number"],
)
def test_bits_are_worse_above_noise(candidate: Callable[[str], float], worse: bool) -> None:
    comparison = compared(Made(), Made(candidate))
    assert comparison.bits.worse is worse
    assert bool(comparison.faults) is worse


def test_unknown_characters_cost_as_much_as_their_code_point() -> None:
    """A model that knows next to nothing must not win by what it does not judge."""
    bits = compared(Made(), Made(lambda text: 1.0, unknown=5)).bits
    lengths = np.array([len(text) for text in TEXTS])
    expected = ((lengths - 5) * 1.0 + 5 * math.log2(1_114_112)).sum() / lengths.sum()
    assert bits.candidate == pytest.approx(expected)
    assert bits.unknown == (0, 200)
    assert bits.worse


def test_compare_refuses_texts_that_are_read_differently() -> None:
    with pytest.raises(UsageError) as error:
        compared(Made(), Made(limit=11))
    assert str(error.value) == (
        "The versions read text 4 as 12 and as 11 characters, so their bits per character have no common measure: "
        "shorten texts over the limit of an export, or use force."
    )


def test_ends_of_messages_do_not_count_where_one_version_knows_none() -> None:
    class Ends(Made):
        def score(self, texts: list[str]) -> list[Score]:
            nats = [(*[-math.log(2)] * len(text), -9 * math.log(2)) for text in texts]
            return [
                Score((len(text) + 9) / (len(text) + 1), each, len(each), 0, False) for text, each in zip(texts, nats)
            ]

    for bits, difference in (
        (compared(Made(), Ends()).bits, -1.0),
        (compared(Ends(), Made()).bits, 1.0),
        (compared(Ends(), Ends()).bits, 0.0),
    ):
        assert bits.difference == pytest.approx(difference)
    assert compared(Made(), Ends()).bits.candidate == pytest.approx(1.0)


def test_texts_of_a_version_with_ends_are_as_long_as_those_of_one_without() -> None:
    calls: list = []
    old, new = Made(calls=calls), Made(calls=calls, samplers={"top_k": 0, "stop_at_end": True, "max_messages": 1})
    compared(old, new, requests=2)
    told = {model is new: settings for model, _, settings in calls}
    assert "stop_at_end" not in told[False]
    assert told[True]["stop_at_end"] is False


def test_requests_are_paired_and_take_turns() -> None:
    calls: list = []
    old, new = Made(calls=calls), Made(calls=calls)
    compared(old, new, requests=4)
    timed = [(model is new, prompts[0], settings["seed"]) for model, prompts, settings in calls[-8:]]
    assert timed == [
        *[(True, "", 0), (False, "", 0), (False, "a", 1), (True, "a", 1)],
        *[(True, "", 2), (False, "", 2), (False, "a", 3), (True, "a", 3)],
    ]
    settings = [settings for _, _, settings in calls]
    assert all(each | {"seed": 0} == settings[0] | {"seed": 0} for each in settings)
    assert settings[0] == {"max_chars": 100, "temperature": 1.0, "seed": 0, "stop": "", "top_k": 0}


def test_samplers_of_both_versions_are_set_as_in_the_incumbent() -> None:
    calls: list = []
    compared(
        Made(calls=calls, samplers={"top_k": 3, "top_p": 0.9}),
        Made(calls=calls, samplers={"top_p": 0.5, "min_p": 0.1}),
        requests=1,
    )
    samplers = [{name: settings[name] for name in settings if name[-2:] in ("_k", "_p")} for _, _, settings in calls]
    assert samplers == [{"top_p": 0.9}] * len(calls)


def test_requests_are_as_long_as_both_versions_write() -> None:
    calls: list = []
    old = Made(calls=calls)
    new = Made(calls=calls, limit=30)
    compare(old, new, texts=["short"] * 20, prompts=[""], requests=2, max_slowdown=1.5)
    assert [settings["max_chars"] for _, _, settings in calls[-4:]] == [30] * 4


def test_slower_candidate_is_named() -> None:
    comparison = compared(Made(seconds=0.002), Made(seconds=0.008))
    assert comparison.p50.ratio > 2
    assert any(fault.endswith("times the p50 latency (at most 1.5)") for fault in comparison.faults)
    assert not comparison.bits.worse


def test_faster_candidate_passes() -> None:
    comparison = compared(Made(seconds=0.008), Made(seconds=0.002))
    assert comparison.p50.ratio < 1
    assert comparison.faults == []


def test_one_slow_request_is_no_slow_candidate() -> None:
    """It doubles the p99, but half of the resamples are without it."""
    slow = Made(seconds=0.001)
    original = slow.generate

    def once(prompts: list[str], **settings: Any) -> list[Completion]:
        CLOCK.now += 0.05 if settings["seed"] == 7 else 0.0
        return original(prompts, **settings)

    slow.generate = once
    comparison = compared(Made(seconds=0.001), slow, requests=50)
    assert comparison.p99.candidate > 2 * comparison.p50.candidate
    assert comparison.faults == []
