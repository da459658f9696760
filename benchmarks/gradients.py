"""The gradient of one batch by the Keras layer, by hand, and compiled: what `bench train` says of a step.

B is the batch size, T the window length, V the vocabulary size.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from charflow.benchmarks.comparison import OURS, PEER, Candidate, Comparison, Kind, by_turns
from charflow.model.config import Config
from charflow.model.network.cells import CellWeights
from charflow.model.network.fused_lstm import loss_and_gradients, part_loss_and_gradients
from charflow.model.network.network import Network

_REPEATS = 5  # of a turn


def has_gradients(config: Config) -> bool:
    """Whether the network is one whose gradient is written by hand, and learns every character of a window."""
    return config.network.cell == "lstm" and config.training.targets == "all"


def measure_gradients(config: Config, vocabulary_size: int, *, turns: int) -> Comparison:
    """Computes the gradient of one batch of random ids on the CPU, for an LSTM without dropout."""
    units, batch, window = config.network.units, config.training.batch_size, config.training.window_length
    text = np.random.default_rng(0).integers(0, vocabulary_size, [batch, window + 1])
    with tf.device("/CPU:0"):
        network = Network(replace(config.network, dropout=0.0), vocabulary_size, targets="all", seed=0)
        gradients = ways(network, *(tf.constant(part, tf.int32) for part in (text[:, :-1], text[:, 1:])))
    kinds: dict[str, Kind] = {"charflow": OURS}
    return Comparison(
        what="the gradient of a batch",
        unit="windows/s",
        about=f"{units} units, batch {batch}, windows of {window} characters, forwards and backwards, without updating "
        "the weights: by hand, in parts side by side, each compiled by XLA; the same whole; in graph mode; and the "
        "Keras layer, differentiated by TensorFlow.",
        ways=by_turns(
            [
                Candidate(name=name, kind=kinds.get(name, PEER), work=_repeated(gradient), amount=_REPEATS * batch)
                for name, gradient in gradients.items()
            ],
            turns,
        ),
    )


def ways(network: Network, ids: tf.Tensor, targets: tf.Tensor) -> dict[str, Callable[[], tuple[tf.Tensor, Any]]]:
    """Functions that give the loss, and what it has for gradients, of ids and targets [B, T]; charflow's is the first.

    The order of the gradients is that of `Network.model`'s weights for the Keras layer, and of
    `fused_lstm.loss_and_gradients` for the others.
    """

    def keras_layer() -> tuple[tf.Tensor, Any]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, network.model(ids)))
        return loss, tape.gradient(loss, [each.value for each in network.model.trainable_variables])

    def by_hand(way: Callable) -> Callable[[], tuple[tf.Tensor, Any]]:
        def gradient() -> tuple[tf.Tensor, Any]:
            layers = [CellWeights(*map(tf.convert_to_tensor, layer)) for layer in network.layers]
            loss, *gradients = way(layers, *map(tf.convert_to_tensor, network.dense), ids, targets, [])
            return loss, gradients

        return gradient

    found = {
        "charflow": by_hand(loss_and_gradients),
        "by hand, XLA, whole": by_hand(part_loss_and_gradients),
        "by hand, graph mode": by_hand(part_loss_and_gradients.python_function),
        "Keras layer, graph mode": keras_layer,
    }
    return {name: tf.function(way, autograph=False) for name, way in found.items()}


def _repeated(gradient: Callable[[], tuple[tf.Tensor, Any]]) -> Callable[[], None]:
    def work() -> None:
        with tf.device("/CPU:0"):
            for _ in range(_REPEATS):
                gradient()[0].numpy()

    return work
