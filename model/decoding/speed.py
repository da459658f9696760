"""Measures how fast a network writes here, beside the simplest loop there is and what its products alone would take.

`charflow bench decode` prints it. All ways take turns in one process, so that other work on the machine meets each of
them. B is the batch, U the units, G the gates, V the vocabulary size.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from charflow.model.config import NetworkConfig
from charflow.model.decoding.contexts import StreamContext
from charflow.model.decoding.decoder import Decoder
from charflow.model.decoding.sampling import draw, uniforms
from charflow.model.decoding.writer import Writer
from charflow.model.network.network import Network

_TEMPERATURE = 0.8
_NOTHING = np.zeros(0, np.int32)  # that is read before


@dataclass(frozen=True, kw_only=True)
class DecodingSpeed:
    """Characters a second that a batch is written with, by all its rows together; the best of several turns.

    Attributes:
        batch_size: B.
        written: by charflow's loop, as in `generate`.
        bare_loop: by a loop of scores, softmax, draw and step, and nothing else.
        products: that the loop's matrix products would leave time for, without anything else.
        bare_loop_xla: by the bare loop, compiled by XLA; None where that was not measured.
        written_xla: by charflow's loop, compiled by XLA as far as it then is; None likewise.
    """

    batch_size: int
    written: float
    bare_loop: float
    products: float
    bare_loop_xla: float | None = None
    written_xla: float | None = None


def measure_decoding(
    config: NetworkConfig, vocabulary_size: int, batch_sizes: list[int], *, chars: int, turns: int, xla: bool
) -> Iterator[DecodingSpeed]:
    """Lets a new network write `chars` characters in each row, `turns` times each way, one batch after the other."""
    network = Network(config, vocabulary_size, targets="all", seed=0)
    decoder = Decoder(StreamContext(config.cell, network.layers), *network.dense).fixed()
    count = (4 if config.cell == "lstm" else 3) * (2 * config.layers - 1)
    matrices = [tf.random.stateless_normal([config.units, config.units], [0, k]) / config.units for k in range(count)]
    dense = tf.random.stateless_normal([config.units, vocabulary_size], [1, 0])
    writer, writer_xla = Writer(decoder), Writer(decoder, xla=True)
    bare, compiled, products = (
        tf.function(way, jit_compile=jit, autograph=False)
        for way, jit in ((_bare_loop, False), (_bare_loop, True), (_products, False))
    )
    for size in batch_sizes:
        sampling: dict[str, Any] = {"temperatures": [_TEMPERATURE] * size, "seeds": range(size)}
        ways: dict[str, Callable[[], object]] = {
            "written": partial(writer, _NOTHING, chars, **sampling),
            "bare_loop": partial(bare, decoder, size, chars),
            "products": partial(products, matrices, dense, size, chars),
        }
        if xla:
            ways["bare_loop_xla"] = partial(compiled, decoder, size, chars)
            ways["written_xla"] = partial(writer_xla, _NOTHING, chars, **sampling)
        yield DecodingSpeed(
            batch_size=size, **{name: size * chars / seconds for name, seconds in _by_turns(ways, turns).items()}
        )


def _by_turns(ways: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """The least seconds of each way, after one call that traces it."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            np.asarray(way())  # waits for it
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: min(found) for name, found in seconds.items()}


def _bare_loop(decoder: Decoder, batch_size: int, chars: int) -> tf.Tensor:
    """Writes ids, int32 [B, chars], as `Writer` does, one step a turn and with nothing known of them but the ids."""
    stepper = decoder.stepper()
    numbers = uniforms(tf.range(batch_size, dtype=tf.int64), tf.zeros([batch_size], tf.int64), tf.constant(chars))

    def step(t, state, written):  # type: ignore[no-untyped-def]
        ids = draw(tf.nn.softmax(stepper.logits(state) / _TEMPERATURE), numbers[t])
        return t + 1, stepper.advance(state, ids), written.write(t, ids)

    start = (0, decoder.context.zero_state(batch_size), tf.TensorArray(tf.int32, chars, element_shape=[batch_size]))
    return tf.transpose(tf.while_loop(lambda t, *_: t < chars, step, start)[2].stack())


def _products(matrices: list[tf.Tensor], dense: tf.Tensor, batch_size: int, chars: int) -> tf.Tensor:
    """Does the products of so many steps, each on what the one before gave: with [U, U] each, and [U, V]."""

    def step(t, h, scores):  # type: ignore[no-untyped-def]
        return t + 1, tf.add_n([h @ each for each in matrices]), scores + h @ dense

    start = (0, tf.ones([batch_size, dense.shape[0]]), tf.zeros([batch_size, dense.shape[1]]))
    return tf.while_loop(lambda t, *_: t < chars, step, start)[2]
