"""The clock of a session, on a clock of the test."""

from types import SimpleNamespace

import pytest

from charflow.model.training.pace import Pace


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the clock says."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr("charflow.model.training.pace.time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def test_pace_goes_on_with_the_seconds_of_earlier_sessions(now: SimpleNamespace) -> None:
    pace = Pace(step=40, elapsed=60.0)
    now.seconds += 5
    assert pace.elapsed == 65.0


def test_pace_leaves_the_call_that_compiles_out_of_the_rate(now: SimpleNamespace) -> None:
    pace, rates = Pace(step=40, elapsed=0.0), []
    for step, size, seconds in ((40, 1, 9.0), (41, 4, 2.0), (45, 6, 2.0)):
        with pace.call(step, size):
            now.seconds += seconds
        now.seconds += 100  # of an evaluation, say
        assert pace.call_seconds == seconds
        rates.append(pace.rate)
    assert rates == [0.0, 4 / 2, 10 / 4]


def test_pace_knows_how_long_nothing_was_saved(now: SimpleNamespace) -> None:
    pace = Pace(step=0, elapsed=0.0)
    now.seconds += 7
    assert pace.unsaved == 7
    pace.saved()
    now.seconds += 2
    assert pace.unsaved == 2
