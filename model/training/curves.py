"""Draws the loss of a run over its steps.

`trainer` calls it with the losses of every step and the rows of `metrics.jsonl` after each evaluation, and in the end
with what the best weights came to on everything held out. A run that started from another has that one's evaluations
to the left of its own. N is the number of steps.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from charflow.pipeline.files import replacing
from charflow.pipeline.fonts import drawable, fonts_for, one_line

_TITLE_LENGTH = 90  # characters that fit above the curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GREEN, _GREY, _PALE = "#3b6ea5", "#d9822b", "#4b8b5e", "#6b7683", "#c9d0d8"
_WIDTHS = (1, 2)  # of what the run started from, and of the run
_POINTS = 600  # that the training curve is drawn with, each the mean of its steps
_SMOOTHED_OVER = 1 / 30  # of the run


def plot_curves(
    rows: Sequence[Mapping[str, Any]],
    losses: np.ndarray,
    path: Path,
    *,
    title: str,
    held_out_characters: int = 0,
    judged: tuple[int, float] | None = None,
    base_rows: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Writes a PNG with training and held-out bits per character; the best held-out value is marked.

    Args:
        rows: of the metrics file.
        losses: of every step, nats per target character, NaN where unknown, float [N].
        path: where to.
        title: above the curves.
        held_out_characters: how many there are; the evaluations while training score a part of many.
        judged: the step of the best weights, and their bits per character on all that was held out.
        base_rows: `rows` of the run that this one started from.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    widths = _WIDTHS if _held_out(base_rows) else _WIDTHS[1:]
    *before, axes = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0]
    top = max(_draw_training(axes, losses), _draw_held_out(axes, rows, held_out_characters))
    for left in before:
        steps, bits = zip(*_held_out(base_rows), strict=True)
        left.plot(steps, bits, color=_GREEN, lw=1.4, marker="o" if len(steps) < 40 else None, ms=4)
        _furnish(left, "steps of what it started from", labels=4)
        top = max(top, *bits)
    if judged:
        axes.plot(
            *judged,
            color=_ORANGE,
            marker="D",
            ms=6,
            ls="none",
            zorder=4,
            label=f"best weights, all held-out text: {judged[1]:.3f}",
        )
    _furnish(axes, "steps", labels=9)
    first = (*before, axes)[0]
    first.set_ylabel("bits per character")
    shown = one_line(title, _TITLE_LENGTH)  # it has the name of the run's folder, which may be anything
    families, lacking = fonts_for([shown], "sans-serif")
    first.set_title(drawable(shown, lacking), loc="left", family=families, fontsize=11)
    if math.isfinite(top):
        axes.set_ylim(top=top * 1.05)
    with replacing(path) as beside:
        figure.savefig(beside, format="png")


def _furnish(axes: "Axes", steps: str, *, labels: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(steps)
    axes.xaxis.set_major_locator(MaxNLocator(labels, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(y=0.1)
    axes.set_xlim(left=0)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9, loc="best")


def _draw_training(axes: "Axes", losses: np.ndarray) -> float:
    """Draws the loss of the steps, pale, and smoothed; gives the highest smoothed value."""
    if np.isnan(losses).all():
        return -math.inf
    bins = np.array_split(np.arange(len(losses)), min(_POINTS, len(losses)))
    places = np.array([part.mean() + 1 for part in bins])
    bits = np.array([_mean(losses[part]) for part in bins]) / math.log(2)
    smooth = _smoothed(bits, max(1, round(len(bits) * _SMOOTHED_OVER)))
    if len(bits) > 2:
        axes.plot(places, bits, color=_PALE, lw=0.8, zorder=1)
    axes.plot(
        places, smooth, color=_GREY, lw=1.6, marker="o" if len(bits) < 3 else None, zorder=2, label="training, smoothed"
    )
    return float(np.nanmax(smooth))


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if len(known) else math.nan


def _smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """The mean over `width` values to each side; over fewer at the steep beginning, and at the end; NaN stays NaN."""
    known = ~np.isnan(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    places = np.arange(len(values))
    reach = np.minimum(width, places)
    left, right = places - reach, np.minimum(places + reach + 1, len(values))
    means = (sums[right] - sums[left]) / np.maximum(counts[right] - counts[left], 1)
    return np.where(known, means, math.nan)


def _draw_held_out(axes: "Axes", rows: Sequence[Mapping[str, Any]], characters: int) -> float:
    """Draws the evaluations; gives their highest value."""
    points = _held_out(rows)
    if not points:
        return -math.inf
    scored = max(row.get("held_out_part_characters") or 0 for row in rows)
    part = f", first {scored:,} characters" if scored < characters else ""
    step, bits = min(points, key=lambda point: point[1])
    marker = "o" if len(points) < 40 else None
    label = f"held out{part}: best {bits:.3f}"
    axes.plot(*zip(*points, strict=True), color=_BLUE, marker=marker, ms=4, lw=1.4, zorder=3, label=label)
    axes.plot(step, bits, color=_BLUE, marker="o", ms=8, mfc="none", zorder=3)
    if points[0][0] == 0:
        label = f"the run that it started from: {points[0][1]:.3f}"
        axes.axhline(points[0][1], color=_BLUE, lw=0.8, ls="--", zorder=2, label=label)
    return max(bits for _, bits in points)


def _held_out(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """The steps and bits of the evaluations."""
    return [(row["step"], row["held_out_part_bits"]) for row in rows if row.get("held_out_part_bits") is not None]
