"""The plot of a run."""

from pathlib import Path

import matplotlib.image
import pytest

from charflow.model.curves import plot_curves

PNG = b"\x89PNG\r\n\x1a\n"


def row(step: int, train: float, held_out: float | None) -> dict:
    return {"step": step, "train_bits": train, "held_out_part_bits": held_out}


@pytest.mark.parametrize(
    "rows",
    [
        [row(1, 4.0, 3.9)],
        [row(1, 4.0, None), row(2, 3.0, None)],
        [row(1, 4.0, None), row(2, 3.0, 3.1)],
        [row(step, 4 / step, 5 / step) for step in range(1, 60)],
        [],
    ],
    ids=["one row", "without held-out text", "held-out text later", "many rows", "no rows"],
)
def test_plot_curves_writes_a_png(tmp_path: Path, rows: list[dict]) -> None:
    file = tmp_path / "curves.png"
    plot_curves(rows, file, title="a run")
    assert file.read_bytes().startswith(PNG)
    height, width, _ = matplotlib.image.imread(file).shape
    assert (width, height) == (1200, 675)
    assert [child.name for child in tmp_path.iterdir()] == ["curves.png"]  # no half-written file beside


def test_plot_curves_draws_the_held_out_part_bits(tmp_path: Path) -> None:
    images = []
    for held_out in (None, 3.0, 2.0):
        plot_curves([row(1, 4.0, 4.0), row(2, 3.0, held_out)], tmp_path / "curves.png", title="a run")
        images.append((tmp_path / "curves.png").read_bytes())
    assert len(set(images)) == 3


@pytest.mark.filterwarnings("error")
def test_curves_take_any_name_of_a_run(tmp_path: Path) -> None:
    rows = [{"step": step, "train_bits": 3.0, "held_out_bits": 3.0} for step in (1, 2)]
    plot_curves(rows, tmp_path / "curves.png", title=r"$\frac$ a$b$ 中文 " + "\n\x1b" + "x" * 500)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
