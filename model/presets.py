"""Named starting points for a `Config`.

`tutorial` is the tutorial recipe; `default` is what reached the fewest held-out bits per character in two minutes
on two CPU cores (docs/performance.md has the search).
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from charflow.model.config import Config, override
from charflow.pipeline.errors import SettingError, UserError
from charflow.pipeline.settings import checked

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "tutorial": {
        "corpus": {"fraction": 0.2, "text": {"keep_invisible": True}},
        "network": {"units": 128, "dropout": 0.0},
        "training": {
            "window_length": 40,
            "window_shift": 3,
            "targets": "next",
            "batch_size": 128,
            "optimizer": "rmsprop",
            "learning_rate": 0.01,
            "schedule": "constant",
            "warmup_steps": 0,
            "clip_norm": 0.0,
            "epochs": 15,
            "time_limit": 0.0,
            "evaluations": 15,
            "best_by": "training",
        },
    },
}

_LIMITS = ("epochs", "steps", "time_limit")


@checked
def preset(name: str) -> Config:
    """Looks up a preset.

    Raises:
        UserError: there is none of that name.
    """
    if name not in PRESETS:
        raise UserError(f"Unknown preset {name!r}: use {' or '.join(PRESETS)}.")
    return override(Config(), PRESETS[name], source=f"preset {name}")


def with_limits(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Completes changes of a `Config` that set a limit of the run: those limits alone then end it.

    >>> with_limits({"training": {"epochs": 3}})
    {'training': {'epochs': 3, 'steps': 0, 'time_limit': 0.0}}
    """
    training = changes.get("training")
    if not isinstance(training, Mapping) or not any(name in training for name in _LIMITS):
        return dict(changes)
    none = {"epochs": 0, "steps": 0, "time_limit": 0.0}
    return {**changes, "training": {**training, **{name: training.get(name, none[name]) for name in _LIMITS}}}


def continued(config: Config, changes: Mapping[str, Any]) -> Config:
    """Applies changes to the settings of a run that is resumed: only what keeps the run the same run.

    Raises:
        SettingError: a change other than of limits, evaluations, patience or samples.
    """
    changed = override(config, with_limits(changes))
    free = {name: getattr(config.training, name) for name in (*_LIMITS, "evaluations", "patience", "sample_every")}
    if replace(changed, training=replace(changed.training, **free)) != config:
        changed_ones = tuple(name for name in _differing(changed, config) if name not in free)
        raise SettingError(
            "A resumed run keeps its settings: leave {changed} out; only {free} may change.",
            changed=changed_ones,
            free=tuple(free),
        )
    return changed


def _differing(settings: Any, others: Any) -> Iterator[str]:
    """The names of the settings in which two configurations differ."""
    for each in fields(settings):
        one, other = getattr(settings, each.name), getattr(others, each.name)
        if is_dataclass(one):
            yield from _differing(one, other)
        elif one != other:
            yield each.name
