"""What a run is about to do, in figures.

`trainer` makes the plan before its first step; the command line prints it.
"""

import math
from dataclasses import dataclass

import keras
import tensorflow as tf

from charflow.model.config import Config
from charflow.model.distributed.strategy import Placement, check_batch, placement
from charflow.model.free_memory import refuse_beyond_memory
from charflow.model.memory.memory import Memory
from charflow.model.network.network import LayerSize, Network, count_weights
from charflow.model.training_text import TrainingText
from charflow.pipeline.errors import UserError, counted

_FLOAT = 4  # bytes
_MOMENTS = {"adam": 2, "nadam": 2, "rmsprop": 1, "sgd": 0}  # floats that the optimizer keeps for each weight


@dataclass(frozen=True)
class Plan:
    """Sizes of a run.

    Attributes:
        messages: of the whole corpus.
        train_characters: characters to learn; not those of questions, which are only read.
        held_out_characters: characters to be judged on, likewise.
        distinct_characters: vocabulary without `[UNK]`.
        windows: training windows in an epoch.
        batch_size: global batch.
        batch_size_wanted: as configured; larger where there are fewer windows.
        steps_per_epoch: full batches in an epoch.
        weights: trainable floats.
        layers: how they are shared out.
        host_bytes: the corpus in memory.
        contexts: that are remembered beside the network; 0 without a memory.
        contexts_bytes: their tables.
        device_bytes: weights, gradients, optimizer state and the activations of one batch; an estimate.
        limit: which limit ends the run, in words.
        placement: where it computes.
        start_from: the run whose weights it began with; empty where there is none.
    """

    messages: int
    train_characters: int
    held_out_characters: int
    distinct_characters: int
    windows: int
    batch_size: int
    batch_size_wanted: int
    steps_per_epoch: int
    weights: int
    layers: list[LayerSize]
    host_bytes: int
    contexts: int
    contexts_bytes: int
    device_bytes: int
    limit: str
    placement: Placement
    start_from: str = ""

    @property
    def cut(self) -> bool:
        """Whether the batch is smaller than configured."""
        return self.batch_size < self.batch_size_wanted


def make_plan(
    config: Config,
    text: TrainingText,
    network: Network,
    optimizer: keras.optimizers.Optimizer,
    here: Placement,
    memory: Memory | None = None,
) -> Plan:
    """Computes the sizes.

    Raises:
        UserError: the training text is shorter than one window.
    """
    windows, batch_size = count_batch(config, text, here)
    optimizer_floats = sum(math.prod(variable.shape) for variable in optimizer.variables)
    return Plan(
        messages=text.corpus.messages,
        train_characters=text.learned_characters,
        held_out_characters=text.judged_characters,
        distinct_characters=len(text.vocabulary.chars),
        windows=windows,
        batch_size=batch_size,
        batch_size_wanted=config.training.batch_size,
        steps_per_epoch=windows // batch_size,
        weights=network.n_weights,
        layers=network.layer_sizes,
        host_bytes=text.host_bytes,
        contexts=memory.n_nodes if memory else 0,
        contexts_bytes=memory.n_bytes if memory else 0,
        device_bytes=_FLOAT * (2 * network.n_weights + optimizer_floats + _activations(config, text, batch_size)),
        limit=_limit(config),
        placement=here,
        start_from=config.training.start_from if config.training.starts else "",
    )


def count_batch(config: Config, text: TrainingText, here: Placement) -> tuple[int, int]:
    """Counts the windows of an epoch and those of a global batch, which has no more than there are.

    Raises:
        UserError: the training text is shorter than one window, or the replicas have not one each.
    """
    windows, replicas = text.count_windows(config.training), here.replicas
    batch_size = min(config.training.batch_size, windows // replicas * replicas)
    if not batch_size:
        raise UserError(f"The text has {counted(windows, 'window')}: too few for {replicas} replicas.")
    return windows, batch_size


def check_fit(config: Config, text: TrainingText, strategy: tf.distribute.Strategy) -> None:
    """Makes sure that the settings go with the text and the machine, before anything is built.

    Raises:
        UserError: the replicas cannot share the batch, or have not a window each; the text is shorter than a window; or
            the memory that is free is less than the run needs.
    """
    check_batch(strategy, config.training.batch_size)
    check_memory(config, text, placement(strategy))


def check_memory(config: Config, text: TrainingText, here: Placement) -> None:
    """Makes sure that the machine can hold the run.

    On a CPU that is weights, gradients, optimizer state and the activations of a batch; of another device's memory
    this machine's says nothing, but the weights pass through it.

    Raises:
        UserError: the memory that is free is less; or as `count_batch`.
    """
    _, batch_size = count_batch(config, text, here)
    weights = _FLOAT * count_weights(config.network, text.vocabulary.size)
    on_cpu = all(device.startswith("CPU") for device in here.devices)
    refuse_beyond_memory(
        weights * (2 + _MOMENTS[config.training.optimizer]) if on_cpu else weights,
        "The network needs",
        "{units} or {layers}",
    )
    if on_cpu:
        refuse_beyond_memory(
            weights * (2 + _MOMENTS[config.training.optimizer])
            + _FLOAT * _activations(config, text, batch_size // here.workers),
            "A training step needs",
            "{batch_size}, {window_length}, {units} or {layers}",
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
