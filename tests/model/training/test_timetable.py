"""What is due when, on paper: no clock, no training."""

import math

import pytest

from charflow.model.config import TrainingConfig
from charflow.model.training.timetable import Timetable


def timetable(per_epoch: int = 10, **training) -> Timetable:
    return Timetable(TrainingConfig(**training), per_epoch)


def call_size(table: Timetable, **asked) -> int:
    usual = {"step": 0, "elapsed": 0.0, "rate": 0.0, "next_evaluation": 1.0, "next_sample": math.inf, "previous": 1}
    return table.call_size(**{**usual, **asked})


def test_a_run_is_as_far_as_the_limit_that_ends_it_first() -> None:
    table = timetable(steps=100, epochs=5, time_limit=60.0)
    assert table.share_done(step=20, elapsed=6.0) == 0.4  # 20 of 5 x 10 steps
    assert table.share_done(step=20, elapsed=45.0) == 0.75
    assert timetable(steps=100).share_done(step=20, elapsed=1e9) == 0.2


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.25), (0.2499999999999, 0.5), (0.25, 0.5), (0.6, 0.75)])
def test_evaluations_are_spread_evenly(share: float, expected: float) -> None:
    assert timetable(steps=8, evaluations=4).next_evaluation(share) == expected


@pytest.mark.parametrize(
    ("share", "took", "expected"),
    [(0.1, 0.0, 0.2), (0.1, 1.0, 0.2), (0.1, 4.0, 0.3), (0.1, 99.0, 0.4), (0.9, 99.0, 1.0)],
    ids=["nothing", "little", "much", "more than the run", "near the end"],
)
def test_evaluations_take_a_quarter_of_a_limited_time(share: float, took: float, expected: float) -> None:
    assert timetable(time_limit=100.0, evaluations=10).next_evaluation(share, took) == expected
    assert timetable(steps=100, evaluations=10).next_evaluation(share, took) == pytest.approx(min(1.0, share + 0.1))


@pytest.mark.parametrize(
    ("every", "step", "expected"), [(0, 0, 10), (0, 10, math.inf), (2, 0, 20), (2, 19, 20), (2, 20, 40)]
)
def test_samples_come_after_the_first_epoch_or_every_few(every: int, step: int, expected: float) -> None:
    assert timetable(steps=1000, sample_every=every).next_sample(step) == expected


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"steps": 40}, 6.0),
        ({"epochs": 3}, 4.0),
        ({"steps": 40, "time_limit": 12.0}, 5.0),
        ({"time_limit": 12.0}, 5.0),
        ({"time_limit": 6.0}, 0.0),
    ],
    ids=["steps", "epochs", "whichever ends first", "time", "over"],
)
def test_seconds_left_go_by_the_pace_alone(training: dict, expected: float) -> None:
    """After 10 steps and 7 seconds, most of them spent on compiling or in another session, at 5 steps a second."""
    assert timetable(**training).seconds_left(10, 7.0, 5.0) == expected


def test_seconds_left_are_unknown_without_a_pace() -> None:
    assert timetable(steps=40, time_limit=9.0).seconds_left(1, 7.0, 0.0) is None
    assert timetable(time_limit=9.0).seconds_left(1, 7.0, 0.0) == 2.0


def test_saves_come_after_steps_or_seconds() -> None:
    by_steps = timetable(steps=100, checkpoint_steps=7, checkpoint_seconds=0.0)
    assert [step for step in range(1, 22) if by_steps.save_is_due(step, seconds=1e9)] == [7, 14, 21]
    by_time = timetable(steps=100, checkpoint_seconds=30.0)
    assert [by_time.save_is_due(7, seconds) for seconds in (29.9, 30.1)] == [False, True]


def test_a_call_takes_half_a_second_of_steps_but_grows_slowly() -> None:
    table = timetable(steps=100_000)
    assert call_size(table) == 1  # the pace is not known yet
    assert call_size(table, rate=100.0, previous=2) == 8
    assert call_size(table, rate=100.0, previous=50) == 50
    assert call_size(table, rate=1e6, previous=900) == 1000


@pytest.mark.parametrize(
    ("training", "asked", "expected"),
    [
        ({"steps": 40}, {"step": 37}, 3),
        ({"epochs": 4}, {"step": 37}, 3),
        ({"steps": 40}, {"step": 7, "next_evaluation": 0.25}, 3),
        ({"steps": 400}, {"step": 7, "next_sample": 10}, 3),
        ({"steps": 400, "checkpoint_steps": 5}, {"step": 7}, 3),
        ({"time_limit": 10.0}, {"step": 7, "elapsed": 9.97}, 3),
        ({"time_limit": 10.0}, {"step": 7, "elapsed": 11.0}, 1),
    ],
    ids=["steps", "epochs", "evaluation", "sample", "save", "time", "late"],
)
def test_a_call_goes_past_nothing_that_is_due(training: dict, asked: dict, expected: int) -> None:
    assert call_size(timetable(**training), **{"rate": 100.0, "previous": 1000, **asked}) == expected
