"""Named starting points for a `Config`.

`tutorial` is the tutorial recipe; `default` is what reached the fewest held-out bits per character in two minutes
on two CPU cores (docs/performance.md has the search).
"""

from collections.abc import Mapping
from typing import Any

from charflow.model.config import Config, override
from charflow.pipeline.errors import UserError

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "tutorial": {
        "corpus": {"fraction": 0.2},
        "network": {"units": 128},
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


def preset(name: str) -> Config:
    """Looks up a preset.

    Raises:
        UserError: there is none of that name.
    """
    if name not in PRESETS:
        raise UserError(f"Unknown preset {name!r}: use {' or '.join(PRESETS)}.")
    return override(Config(), PRESETS[name], source=f"preset {name}")
