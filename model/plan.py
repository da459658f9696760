"""What a run is about to do, in figures.

`trainer` makes the plan before its first step; the command line prints it.
"""

import math
from dataclasses import dataclass

import keras

from charflow.model.config import Config
from charflow.model.network import Network
from charflow.model.strategy import Placement
from charflow.model.training_text import TrainingText
from charflow.pipeline.errors import UserError, counted

_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Plan:
    """Sizes of a run.

    Attributes:
        messages: of the whole corpus.
        train_characters: characters to learn from.
        held_out_characters: characters to be judged on.
        distinct_characters: vocabulary without `[UNK]`.
        windows: training windows in an epoch.
        batch_size: global batch; smaller than configured where there are fewer windows.
        steps_per_epoch: full batches in an epoch.
        weights: trainable floats.
        host_bytes: the corpus in memory.
        device_bytes: weights, gradients, optimizer state and the activations of one batch; an estimate.
        limit: which limit ends the run, in words.
        placement: where it computes.
    """

    messages: int
    train_characters: int
    held_out_characters: int
    distinct_characters: int
    windows: int
    batch_size: int
    steps_per_epoch: int
    weights: int
    host_bytes: int
    device_bytes: int
    limit: str
    placement: Placement


def make_plan(
    config: Config, text: TrainingText, network: Network, optimizer: keras.optimizers.Optimizer, placement: Placement
) -> Plan:
    """Computes the sizes.

    Raises:
        UserError: the training text is shorter than one window.
    """
    training = config.training
    windows = text.count_windows(training)
    replicas = placement.replicas
    batch_size = min(training.batch_size, windows // replicas * replicas)
    if not batch_size:
        raise UserError(f"The text has {counted(windows, 'window')}: too few for {replicas} replicas.")
    optimizer_floats = sum(math.prod(variable.shape) for variable in optimizer.variables)
    return Plan(
        messages=text.messages,
        train_characters=text.train_characters,
        held_out_characters=text.held_out_characters,
        distinct_characters=len(text.vocabulary.chars),
        windows=windows,
        batch_size=batch_size,
        steps_per_epoch=windows // batch_size,
        weights=network.n_weights,
        host_bytes=text.host_bytes,
        device_bytes=_FLOAT * (2 * network.n_weights + optimizer_floats + _activations(config, text, batch_size)),
        limit=_limit(config),
        placement=placement,
    )


def _activations(config: Config, text: TrainingText, batch_size: int) -> int:
    """Floats that one training step keeps: gates, their derivatives, cells and outputs, and the logits twice."""
    network, training = config.network, config.training
    positions = batch_size * training.window_length
    gates = 4 if network.cell == "lstm" else 3
    targets = positions if training.targets == "all" else batch_size
    return positions * network.layers * network.units * (4 * gates + 4) + 2 * targets * text.vocabulary.size


def _limit(config: Config) -> str:
    training = config.training
    limits = [
        counted(training.epochs, "epoch") if training.epochs else "",
        counted(training.steps, "step") if training.steps else "",
        f"{training.time_limit:,.0f} seconds" if training.time_limit else "",
    ]
    return " or ".join(limit for limit in limits if limit)
