"""Losses of honest runs, of wild ones, and of those that come back."""

import math

import numpy as np
import pytest

from charflow.model.evaluation.divergence import (
    LossWatch,
    guess_bits,
    is_beyond_return,
    is_far_worse_than_guessing,
)

GUESS = math.log(32)  # nats


def sign(*parts: np.ndarray, last: bool = False) -> float | None:
    """What the last of several calls says, of which the earlier must say nothing."""
    watch = LossWatch(32)
    *before, end = parts
    assert [watch.sign(part, last=False) for part in before] == [None] * len(before)
    return watch.sign(end, last=last)


def steps(times: float, count: int) -> np.ndarray:
    """Losses of so many times that of guessing."""
    return np.full(count, times * GUESS)


def test_guess_bits_are_the_logarithm_of_the_characters() -> None:
    assert [guess_bits(count) for count in (0, 1, 2, 32)] == [0, 0, 1, 5]


@pytest.mark.parametrize(("bits", "far"), [(5.0, False), (10.0, False), (10.1, True), (math.nan, True)])
def test_far_worse_than_guessing_is_twice_its_bits(bits: float, far: bool) -> None:
    assert is_far_worse_than_guessing(bits, 32) == far


@pytest.mark.parametrize(
    ("parts", "last"),
    [
        ([steps(1.05, 1)], True),
        ([steps(1.05, 500)], True),
        ([steps(1.0, 20), steps(9.0, 40), steps(0.9, 200)], False),
        ([steps(12.0, 99)], False),
        ([steps(12.0, 40), steps(0.9, 60)], True),
        ([np.where(np.arange(400) % 3, 0.7, 40.0) * GUESS], True),
    ],
    ids=["one step", "never learns", "comes back", "too early to say", "came back in the end", "spikes"],
)
def test_loss_watch_refuses_no_honest_run(parts: list[np.ndarray], last: bool) -> None:
    assert sign(*parts, last=last) is None


@pytest.mark.parametrize(
    ("parts", "last"),
    [
        ([steps(0.5, 300), steps(3.0, 40), steps(3.0, 30)], False),
        ([steps(1.0, 1), steps(3.0, 9)], True),
        ([steps(3.0, 1000)], False),
    ],
    ids=["after it had learned", "a short run", "many steps at once"],
)
def test_loss_watch_sees_a_run_that_does_not_come_back(parts: list[np.ndarray], last: bool) -> None:
    assert sign(*parts, last=last) == pytest.approx(15.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_watch_sees_at_once_what_is_no_number(value: float) -> None:
    assert math.isnan(sign(np.array([GUESS, value, GUESS])))


@pytest.mark.parametrize(
    ("bits", "beyond"), [(9999.0, False), (10001.0, True), (math.inf, True), (math.nan, True)], ids=str
)
def test_what_is_beyond_return_is_measured_in_bits_wherever_it_is_found(bits: float, beyond: bool) -> None:
    assert is_beyond_return(bits) == beyond
    told = LossWatch(32).sign(np.full(3, bits * math.log(2)), last=False)  # of too few steps to see a trend
    assert (told is not None) == beyond
    if math.isfinite(bits) and beyond:
        assert told == pytest.approx(bits)
