"""Draws a sweep: bits per character by trial, and against each setting.

`sweep` calls it after every trial. What ended early is drawn hollow, so that a bad early figure, of a part of the
held-out text, is not read as a final one; what failed is a cross, at the upper edge where it has no figure at all.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charflow.model.search.space import Axis, Space, Value
from charflow.model.search.trials import Trial
from charflow.pipeline.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GREY = "#3b6ea5", "#d9822b", "#9aa5b1"
_EARLY = "ended early, judged on a part"
_COLUMNS = 3  # panels side by side
_LEGEND_POINTS = 24.0  # between the title and the axes, for the line of the legend
_HEADROOM = 1.6  # times the spread of the finished trials; what is worse is drawn at the upper edge


def plot_trials(trials: Sequence[Trial], space: Space, path: Path) -> None:
    """Writes a PNG; those that were cut off are left out."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    shown = [trial for trial in trials if trial.state != "cut off"]
    best = min((t for t in shown if t.state == "finished" and t.bits is not None), key=_bits, default=None)
    low, high = _limits(shown)
    rows = math.ceil(len(space.axes) / _COLUMNS)
    figure = Figure(figsize=(10, 3.6 + 2.5 * rows), dpi=150, layout="constrained")
    grid = figure.add_gridspec(rows + 1, _COLUMNS, height_ratios=[1.4, *[1.0] * rows])

    axes = figure.add_subplot(grid[0, :])
    _draw(axes, [(trial.number, trial) for trial in shown], best, high)
    _draw_running_best(axes, shown)
    axes.set_title(_title(shown, best), loc="left", fontsize=11, pad=_LEGEND_POINTS)
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("held-out bits per character")
    axes.set_ylim(low, high)
    if shown:
        axes.legend(frameon=False, fontsize=8, ncols=5, loc="lower left", bbox_to_anchor=(0.0, 1.03), borderpad=0)

    for index, axis in enumerate(space.axes):
        panel = figure.add_subplot(grid[1 + index // _COLUMNS, index % _COLUMNS])
        _draw(panel, [(_place(axis, t.values[axis.name]), t) for t in shown if axis.name in t.values], best, high)
        _scale(panel, axis)
        panel.set_xlabel(axis.name.replace("_", " "))
        panel.set_ylim(low, high)
        if index % _COLUMNS == 0:
            panel.set_ylabel("bits per character")
    with replacing(path) as beside:
        figure.savefig(beside, format="png")


def _draw(axes: "Axes", points: Sequence[tuple[float, Trial]], best: Trial | None, high: float) -> None:
    looks: dict[str, dict[str, Any]] = {
        "finished": {"marker": "o", "color": _BLUE},
        _EARLY: {"marker": "o", "facecolors": "white", "edgecolors": _GREY, "linewidths": 1.3},
        "failed": {"marker": "x", "color": _GREY},
        "best": {"marker": "*", "color": _ORANGE, "s": 150, "zorder": 4},
    }
    groups: dict[str, list[tuple[float, float]]] = {}
    for place, trial in points:
        look = "best" if trial == best else "finished" if trial.state == "finished" else _EARLY
        if trial.state != "finished" and trial.state != "pruned":
            look = "failed"
        groups.setdefault(look, []).append((place, min(_bits(trial), high)))
    for look in looks:
        if look in groups:
            style: dict[str, Any] = {"s": 34, "zorder": 3, "clip_on": False, **looks[look]}
            axes.scatter(*zip(*groups[look], strict=True), label=look, **style)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _draw_running_best(axes: "Axes", shown: Sequence[Trial]) -> None:
    finished = [trial for trial in shown if trial.state == "finished" and trial.bits is not None]
    if not finished:
        return
    numbers = [trial.number for trial in finished]
    bests = [min(_bits(t) for t in finished[: index + 1]) for index in range(len(finished))]
    last = max(trial.number for trial in shown)
    axes.step([*numbers, last], [*bests, bests[-1]], where="post", color=_ORANGE, lw=1.4, label="best so far")


def _limits(shown: Sequence[Trial]) -> tuple[float, float]:
    finished = [_bits(t) for t in shown if t.state == "finished" and t.bits is not None]
    bits = finished or [_bits(t) for t in shown if _bits(t) < math.inf] or [0.0]
    spread = max(max(bits) - min(bits), 0.05 * max(bits), 0.1)
    most = max([*bits, *(_bits(t) for t in shown)])  # infinite where a trial has no figure
    return min(bits) - 0.15 * spread, min(most + 0.1 * spread, min(bits) + _HEADROOM * spread)


def _title(shown: Sequence[Trial], best: Trial | None) -> str:
    trials = f"{len(shown)} trial" + ("s" if len(shown) != 1 else "")
    return f"{trials}, best is {best.number} with {best.bits:.3f} bits per character" if best else trials


def _place(axis: Axis, value: Value) -> float:
    return float(value) if axis.is_range else float(axis.choices.index(value))


def _scale(panel: "Axes", axis: Axis) -> None:
    if not axis.is_range:
        panel.set_xticks(range(len(axis.choices)), [str(choice) for choice in axis.choices])
        panel.set_xlim(-0.5, len(axis.choices) - 0.5)
        return
    low, high = (float(end) for end in axis.choices)
    if not axis.is_log:
        margin = 0.04 * (high - low)
        panel.set_xlim(low - margin, high + margin)
        return
    margin = (high / low) ** 0.04
    ticks = _logarithmic_ticks(low, high, whole=axis.is_whole)
    panel.set_xscale("log")
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.set_xticks([], minor=True)
    panel.set_xlim(low / margin, high * margin)


def _logarithmic_ticks(low: float, high: float, *, whole: bool) -> list[float]:
    """Powers of two for whole numbers, else 1, 2 and 5 times powers of ten; the ends where few of them fit."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [2.0**n for n in range(31)] if whole else [float(f"{m}e{n}") for n in exponents for m in (1, 2, 5)]
    ticks = [step for step in steps if low <= step <= high]
    return ticks[:: math.ceil(len(ticks) / 6)] if len(ticks) > 1 else [low, high]


def _bits(trial: Trial) -> float:
    known = trial.part_bits if trial.bits is None else trial.bits
    return math.inf if known is None else known
