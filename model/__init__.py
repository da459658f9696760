"""Trains character models and generates text with them.

The names below are charflow's public model package; each is loaded when it is first used, so that importing the
package costs nothing and NumPy-only modules stay free of TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charflow.model.baselines import baselines
    from charflow.model.config import Config, NetworkConfig, TrainingConfig
    from charflow.model.copy_check import longest_copied_run
    from charflow.model.generator import GeneratedText, Generator
    from charflow.model.network import Network
    from charflow.model.presets import preset
    from charflow.model.run_dir import RunDir
    from charflow.model.strategy import make_strategy
    from charflow.model.trainer import Trainer

_HOMES = {
    "Config": "config",
    "GeneratedText": "generator",
    "Generator": "generator",
    "Network": "network",
    "NetworkConfig": "config",
    "RunDir": "run_dir",
    "Trainer": "trainer",
    "TrainingConfig": "config",
    "baselines": "baselines",
    "longest_copied_run": "copy_check",
    "make_strategy": "strategy",
    "preset": "presets",
}

__all__ = [
    "Config",
    "GeneratedText",
    "Generator",
    "Network",
    "NetworkConfig",
    "RunDir",
    "Trainer",
    "TrainingConfig",
    "baselines",
    "longest_copied_run",
    "make_strategy",
    "preset",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
