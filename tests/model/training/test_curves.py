"""The plot of a run."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from charflow.model.training.curves import plot_curves

PNG = b"\x89PNG\r\n\x1a\n"


def row(step: int, held_out: float | None, characters: int = 9) -> dict:
    return {"step": step, "held_out_part_bits": held_out, "held_out_part_characters": held_out and characters}


def losses(*bits: float) -> np.ndarray:
    return np.array(bits, np.float32) * math.log(2)


@pytest.mark.parametrize(
    ("rows", "steps"),
    [
        ([row(1, 3.9)], losses(4.0)),
        ([row(1, None), row(2, None)], losses(4.0, 3.0)),
        ([row(1, None), row(2, 3.1)], losses(4.0, math.nan)),
        ([row(step, 5 / step) for step in range(1, 60)], losses(*np.linspace(5, 2, 59))),
        ([row(2000, 2.0)], losses(*[math.nan] * 900, *np.linspace(5, 2, 1100))),
        ([], losses()),
    ],
    ids=["one step", "without held-out text", "held-out text later", "many rows", "long, with a gap", "nothing"],
)
def test_plot_curves_writes_a_png(tmp_path: Path, rows: list[dict], steps: np.ndarray) -> None:
    file = tmp_path / "curves.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_curves(rows, steps, file, title="a run", held_out_characters=20, judged=(1, 3.0))
    assert file.read_bytes().startswith(PNG)
    height, width, _ = matplotlib.image.imread(file).shape
    assert (width, height) == (1200, 675)
    assert [child.name for child in tmp_path.iterdir()] == ["curves.png"]  # no half-written file beside


def test_plot_curves_shows_what_the_run_started_from(drawn: Callable[..., Axes]) -> None:
    labels = drawn([row(0, 3.25), row(2, 2.5)], losses(4.0, 3.0)).get_legend_handles_labels()[1]
    assert "the run that it started from: 3.250" in labels
    assert not any("started" in label for label in drawn([row(1, 3.0)], losses(4.0)).get_legend_handles_labels()[1])


def test_plot_curves_draws_what_the_run_started_from_to_its_left(drawn: Callable[..., Axes]) -> None:
    before = [row(500, 4.5), row(1000, None), row(1500, 3.25)]
    left = drawn([row(0, 3.25), row(2, 2.5)], losses(4.0, 3.0), base_rows=before)
    (line,) = left.lines
    assert line.get_xydata().tolist() == [[500, 4.5], [1500, 3.25]]
    right = left.figure.axes[1]
    assert (left.get_xlabel(), right.get_xlabel()) == ("steps of what it started from", "steps")
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[1] > 4.5
    assert line.get_color() not in {each.get_color() for each in right.lines}
    alone = drawn([row(0, 3.25)], losses(4.0, 3.0), base_rows=[row(500, None)])
    assert (alone.figure.axes, alone.get_xlabel()) == ([alone], "steps")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Axes]:
    """Draws curves and gives what they were drawn on."""
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: (figures.append(figure), path.touch()))

    def draw(*arguments: object, **options: Any) -> Axes:
        plot_curves(*arguments, tmp_path / "curves.png", title="a run", **options)
        return figures[-1].axes[0]

    return draw


def legend(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_plot_curves_draws_the_loss_of_every_step_and_a_smoothed_one(drawn: Callable) -> None:
    bits = 3 + np.sin(np.arange(300))
    pale, smooth = drawn([], losses(*bits)).lines
    np.testing.assert_allclose(pale.get_ydata(), bits, rtol=1e-6)
    np.testing.assert_array_equal(pale.get_xdata(), np.arange(1, 301))
    assert np.abs(smooth.get_ydata()[20:-20] - 3).max() < 0.1
    assert smooth.get_ydata()[0] == pytest.approx(bits[0])


def test_plot_curves_of_a_long_run_keeps_its_mean(drawn: Callable) -> None:
    pale, _ = drawn([], losses(*np.tile([2.0, 4.0], 30_000))).lines
    assert len(pale.get_ydata()) == 600
    np.testing.assert_allclose(pale.get_ydata(), 3.0)


def test_plot_curves_says_what_was_scored(drawn: Callable) -> None:
    rows = [row(1, 4.0), row(2, 3.5)]
    assert legend(drawn(rows, losses(4.0, 3.0), held_out_characters=20, judged=(2, 3.61))) == [
        "training, smoothed",
        "held out, first 9 characters: best 3.500",
        "best weights, all held-out text: 3.610",
    ]
    assert legend(drawn(rows, losses(4.0, 3.0), held_out_characters=9))[1] == "held out: best 3.500"
    assert legend(drawn([row(1, None)], losses(4.0, 3.0))) == ["training, smoothed"]


@pytest.mark.filterwarnings("error")
def test_curves_take_any_name_of_a_run(tmp_path: Path) -> None:
    rows = [row(step, 3.0) for step in (1, 2)]
    title = r"$\frac$ a$b$ 中文 " + "\n\x1b" + "x" * 500
    plot_curves(rows, losses(4.0, 3.0), tmp_path / "curves.png", title=title)
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)
