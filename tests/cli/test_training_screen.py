"""What is shown of a run while it trains."""

from types import SimpleNamespace

import numpy as np
import pytest

from charflow.cli.training_screen import TrainingScreen
from charflow.model.training.report import Report
from charflow.model.training.samples import Sample


def screen(**options: bool) -> TrainingScreen:
    return TrainingScreen(SimpleNamespace(), **{"quiet": False, "chief": True, **options})


@pytest.mark.parametrize(
    ("left", "told"), [(0.2, ""), (90.0, "This will take about 1 min 30 s.\n")], ids=["almost done", "long"]
)
def test_train_forecasts_only_what_is_worth_waiting_for(capsys: pytest.CaptureFixture, left: float, told: str) -> None:
    shown = screen()
    for elapsed in (1.0, 3.0):
        shown.advanced(Report(1, 0.1, 0.1, 4.0, 100.0, elapsed, left, np.zeros(1, np.float32)))
    assert capsys.readouterr().err == told


def test_training_screen_shows_samples_unless_it_is_to_be_quiet(capsys: pytest.CaptureFixture) -> None:
    for quiet in (False, True):
        shown = screen(quiet=quiet)
        for step, temperature, text in ((6, 0.5, "a b"), (60, 0.5, "ab ab"), (60, 1.0, "abab")):
            shown.sampled(Sample(step, step / 6, step == 60, temperature, "oh", text))
        out = capsys.readouterr().out
        assert ("--- temperature 0.5 ---\nab ab\n" in out, out.count("from “oh”:")) == (not quiet, 0 if quiet else 2)


def test_training_screen_names_checkpoints_that_are_damaged(capsys: pytest.CaptureFixture) -> None:
    screen().resumed(7, 3.0, ["ckpt-9"])
    assert "warning: the checkpoint ckpt-9 is damaged; the one before it is taken." in capsys.readouterr().err
