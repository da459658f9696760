"""The update rule: its learning rate over the run, clipping, and the loss scale of float16.

`trainer` assigns the rate of every step from `Rate`; a schedule inside Keras could not follow a time limit.
"""

import math
from typing import Any

import keras

from charflow.model.config import TrainingConfig


class _Summed:
    """Takes gradients that are summed over replicas already; Keras would sum them over the network once more."""

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars


class _Adam(_Summed, keras.optimizers.Adam): ...


class _Nadam(_Summed, keras.optimizers.Nadam): ...


class _RMSprop(_Summed, keras.optimizers.RMSprop): ...


class _SGD(_Summed, keras.optimizers.SGD): ...


_CLASSES = {"adam": _Adam, "nadam": _Nadam, "rmsprop": _RMSprop, "sgd": _SGD}


def make_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """Builds the optimizer; call it, and `.build`, inside the strategy's scope.

    Every replica gives it the gradients of the global batch. float16 has Keras's dynamic loss scale: a step whose
    gradients overflow is left out.
    """
    options: dict[str, float] = {"beta_2": config.beta_2} if config.optimizer in ("adam", "nadam") else {}
    if config.clip_norm:
        options["global_clipnorm"] = config.clip_norm
    optimizer = _CLASSES[config.optimizer](config.learning_rate, **options)
    return keras.optimizers.LossScaleOptimizer(optimizer) if config.precision == "float16" else optimizer


def learning_rate(config: TrainingConfig, *, step: int, progress: float) -> float:
    """The rate of one step.

    Args:
        config: peak rate, warm-up and schedule.
        step: steps done before.
        progress: share of the run that is done, 0 to 1, by whichever limit will end it first.

    >>> learning_rate(TrainingConfig(learning_rate=1.0, warmup_steps=0, steps=9), step=5, progress=0.5)
    0.5
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    decay = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress))) if config.schedule == "cosine" else 1.0
    return config.learning_rate * warmup * decay
