"""Named starting points for a `Config`.

`tutorial` is the tutorial recipe; `default` is what reached the fewest held-out bits per character in two minutes
on two CPU cores (docs/experiments.md has the search), and its messages end.
"""

from collections.abc import Mapping
from typing import Any

from charflow.model.config import NOTHING, Config
from charflow.pipeline.errors import SettingError, UserError
from charflow.pipeline.option import settable
from charflow.pipeline.settings import checked
from charflow.pipeline.tables import differing, override

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {"corpus": {"held_out_by": "person", "text": {"ends": True}}},
    "tutorial": {
        "corpus": {"fraction": 0.2, "text": {"keep_invisible": True}},
        "network": {"units": 128, "dropout": 0.0, "input_init": 0.0},
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
            "start_from": NOTHING,
            "memory": "off",
        },
    },
}

# What a run does that starts from another, where nothing else is said; see docs/experiments.md.
SECOND_PHASE: Mapping[str, Any] = {
    "learning_rate": 0.007,
    "warmup_steps": 10,
    "window_shift": 8,
    "epochs": 1,
    "time_limit": 60.0,
    "evaluations": 12,
    "patience": 3,
}

_NO_LIMITS: Mapping[str, float] = {"epochs": 0, "steps": 0, "time_limit": 0.0}


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
    if not isinstance(training, Mapping) or not _NO_LIMITS.keys() & training.keys():
        return dict(changes)
    return {**changes, "training": {**_NO_LIMITS, **training}}


def continued(config: Config, changes: Mapping[str, Any]) -> Config:
    """Applies changes to the settings of a run that is resumed: only what keeps the run the same run.

    Raises:
        SettingError: a change of a setting whose `Option` does not say that it may.
    """
    changed = override(config, with_limits(changes))
    free = tuple(each.name for each in settable(type(config)) if each.option.may_change)
    if kept := tuple(name for name in differing(changed, config) if name not in free):
        raise SettingError(
            "A resumed run keeps its settings: leave {changed} out; only {free} may change.", changed=kept, free=free
        )
    return changed
