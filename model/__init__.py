"""Trains character models and generates text with them.

The names below are charflow's public model package; each is loaded when it is first used, so that importing the
package costs nothing and NumPy-only modules stay free of TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charflow.model.config import Config, NetworkConfig, TrainingConfig
    from charflow.model.decoding.generator import GeneratedText, Generator
    from charflow.model.decoding.keras_model import load_keras
    from charflow.model.distributed.strategy import make_strategy
    from charflow.model.evaluation.baselines import baselines
    from charflow.model.evaluation.copy_check import longest_copied_run
    from charflow.model.network.network import Network
    from charflow.model.presets import preset
    from charflow.model.run.run_dir import RunDir
    from charflow.model.training.report import Listener, Report
    from charflow.model.training.train import train
    from charflow.model.training.trainer import Trainer

_HOMES = {
    "Config": "config",
    "GeneratedText": "decoding.generator",
    "Generator": "decoding.generator",
    "Listener": "training.report",
    "Network": "network.network",
    "NetworkConfig": "config",
    "Report": "training.report",
    "RunDir": "run.run_dir",
    "Trainer": "training.trainer",
    "TrainingConfig": "config",
    "baselines": "evaluation.baselines",
    "load_keras": "decoding.keras_model",
    "longest_copied_run": "evaluation.copy_check",
    "make_strategy": "distributed.strategy",
    "preset": "presets",
    "train": "training.train",
}

__all__ = [
    "Config",
    "GeneratedText",
    "Generator",
    "Listener",
    "Network",
    "NetworkConfig",
    "Report",
    "RunDir",
    "Trainer",
    "TrainingConfig",
    "baselines",
    "load_keras",
    "longest_copied_run",
    "make_strategy",
    "preset",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
