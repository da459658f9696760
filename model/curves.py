"""Draws the loss of a run over its steps.

`trainer` calls it with the rows of `metrics.jsonl` after each evaluation.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from charflow.pipeline.atomic import replacing
from charflow.pipeline.fonts import drawable, fonts_for, one_line

_TITLE_LENGTH = 90  # characters that fit above the curves


def plot_curves(rows: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Writes a PNG with training and held-out bits per character; the best held-out value is marked."""
    from matplotlib.figure import Figure

    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    axes = figure.subplots()
    marker = "o" if len(rows) < 40 else None
    axes.plot(steps, [row["train_bits"] for row in rows], color="#9aa5b1", marker=marker, ms=4, label="training")
    held_out = [(row["step"], row["held_out_part_bits"]) for row in rows if row.get("held_out_part_bits") is not None]
    if held_out:
        axes.plot(*zip(*held_out, strict=True), color="#3b6ea5", marker=marker, ms=4, label="held out")
        step, bits = min(held_out, key=lambda point: point[1])
        axes.annotate(
            f"best {bits:.3f}",
            (step, bits),
            xytext=(0, -16),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color="#3b6ea5",
        )
    shown = one_line(title, _TITLE_LENGTH)  # it has the name of the run's folder, which may be anything
    families, lacking = fonts_for([shown], "sans-serif")
    axes.set_title(drawable(shown, lacking), loc="left", family=families, fontsize=11)
    axes.set_xlabel("steps")
    axes.set_ylabel("bits per character")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(y=0.15)
    axes.legend(frameon=False)
    with replacing(path) as beside:
        figure.savefig(beside, format="png")
