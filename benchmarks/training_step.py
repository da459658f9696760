"""Times the gradient of one batch: the Keras layer, by hand, under XLA, and in parts side by side. Prints a table.

    python benchmarks/training_step.py [--turns 12] [--vocabulary 76]

The four take turns in one process, on random ids. Other work on the machine only ever makes a step slower, so the
figures are each one's least milliseconds, and the median beside it says how quiet the machine was.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from charflow.model.config import NetworkConfig
from charflow.model.network.cells import CellWeights
from charflow.model.network.fused_lstm import count_parts, loss_and_gradients, part_loss_and_gradients
from charflow.model.network.network import Network

SIZES = [(256, 32, 64), (256, 64, 64), (128, 128, 40), (384, 64, 64)]  # units, batch, window


def ways(units: int, batch: int, window: int, vocabulary: int) -> dict[str, Callable[[], tf.Tensor]]:
    network = Network(NetworkConfig(units=units, dropout=0.0), vocabulary, targets="all", seed=0)
    text = np.random.default_rng(0).integers(0, vocabulary, [batch, window + 1])
    ids, targets = (tf.constant(part, tf.int32) for part in (text[:, :-1], text[:, 1:]))

    def keras_layer() -> tf.Tensor:
        with tf.GradientTape() as tape:
            nats = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, network.model(ids))
            loss = tf.reduce_sum(nats)
        return loss, tape.gradient(loss, [v.value for v in network.model.trainable_variables])

    def by_hand(way: Callable) -> Callable[[], tf.Tensor]:
        def gradient() -> tf.Tensor:
            layers = [CellWeights(*map(tf.convert_to_tensor, layer)) for layer in network.layers]
            return way(layers, *map(tf.convert_to_tensor, network.dense), ids, targets, [])

        return gradient

    found = {
        "Keras layer": keras_layer,
        "by hand": by_hand(part_loss_and_gradients.python_function),
        "by hand, XLA": by_hand(part_loss_and_gradients),
        "in parts": by_hand(loss_and_gradients),
    }
    return {name: tf.function(way, autograph=False) for name, way in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--vocabulary", type=int, default=76)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs; milliseconds a batch, least (median)\n")
    print("| units, batch, window | Keras layer | by hand | by hand, XLA | in parts | ratio to XLA |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for size in SIZES:
        gradients = ways(*size, arguments.vocabulary)
        milliseconds: dict[str, list[float]] = {name: [] for name in gradients}
        for turn in range(arguments.turns + 2):
            for name, gradient in gradients.items():
                started = time.perf_counter()
                gradient()[0].numpy()
                if turn > 1:
                    milliseconds[name].append(1000 * (time.perf_counter() - started))
        least = {name: min(found) for name, found in milliseconds.items()}
        cells = [f"{least[name]:.1f} ({np.median(found):.1f})" for name, found in milliseconds.items()]
        cells[-1] += f", {count_parts(size[1], size[0])} parts"
        title = ", ".join(map(str, size))
        print(f"| {title} | {' | '.join(cells)} | {least['by hand, XLA'] / least['in parts']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
