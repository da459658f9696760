"""Writes with a loop that XLA compiles, and gives the ids that the graph's loops would have drawn.

`decoder` calls `write_compiled` where that is wanted; `sampling_loops` has the loop. XLA rounds scores otherwise, by
their last bits, which now and then would have another character drawn. So the loop notes which rows came so near to
that that it cannot be told; the graph writes those again. B is the batch, T a number of characters, V the vocabulary
size.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from charflow.model.decoding.rounds import rows_at, with_rows_at
from charflow.model.decoding.sampling import draw, weigh
from charflow.model.decoding.sampling_loops import (
    Loop,
    Noted,
    begin,
    loop_of_rows,
    taken,
    uses_samplers,
    warmth,
    write,
)
from charflow.model.decoding.stepping import Stepper
from charflow.model.decoding.writing import Begun, SamplingOptions, Written
from charflow.model.network.cells import State

MOST_ROWS = 4  # with more than that the graph is as fast: its products are then most of a step
_LEAST_ROOM, _MORE_ROOM = 4096, 8  # characters that are compiled for, and how many times more the next size is for
# How far the two ways may be apart, measured on 200,000 characters of a trained network of 256 units: scores let the
# share of probability below a boundary, c, move by less than 1e-5 of c (1 - c) / temperature but for 1 in 3,000
# characters, and by 2e-5 (3e-5 for temperature 2) at most; running sums are rounded besides.
_SCORES_APART, _SUMS_APART = 1.5e-5, 5e-7
_BEST_APART = 1e-4  # of the two likeliest characters' scores


def write_compiled(
    make_stepper: Callable[[], Stepper],
    state: State,
    tail: tf.Tensor,
    position: tf.Tensor,
    options: SamplingOptions,
    *,
    after_end: bool,
    loop: Loop | None = None,
) -> Written:
    """Samples as `sampling_loops.write` does; compiled where that is faster: for few rows, and without samplers.

    Compiling takes half a second for each number of rows, and again beyond 4,096 characters.

    Args:
        make_stepper: gives the network as tensors of the graph that is being traced.
        state: as of `write`, and so on.
        tail: likewise.
        position: likewise.
        options: likewise.
        after_end: likewise.
        loop: likewise.
    """

    def in_graph(*given: Any) -> Written:
        return write(make_stepper(), *given, after_end=after_end, loop=loop)

    def compiled() -> Written:
        written, doubtful = _write(make_stepper, begin(*given), taken(options))
        again = lambda: _replaced(written, tf.where(doubtful)[:, 0], given, in_graph)  # noqa: E731
        return tf.cond(tf.reduce_any(doubtful), again, lambda: written)

    given = (state, tail, position, options)
    if loop == "sampled":
        return in_graph(*given)
    few = tf.shape(position)[0] <= MOST_ROWS
    if loop is None:
        few &= ~uses_samplers(taken(options))
    return tf.cond(few, compiled, lambda: in_graph(*given))


def _write(make_stepper: Callable[[], Stepper], begun: Begun, options: SamplingOptions) -> tuple[Written, tf.Tensor]:
    """Writes by XLA; which rows are doubtful, bool [B], too."""
    steps = tf.shape(begun.numbers)[0]
    room = tf.while_loop(lambda room: room < steps, lambda room: (room * _MORE_ROOM,), (_LEAST_ROOM,))[0]
    padded = begun._replace(numbers=tf.pad(begun.numbers, [[0, room - steps], [0, 0]]))

    def run(begun: Begun, options: SamplingOptions) -> tuple[Written, Noted]:
        length, sure = tf.zeros_like(options.max_chars), tf.zeros_like(begun.begins)
        array = tf.TensorArray(tf.int32, tf.shape(begun.numbers)[0] + 1, element_shape=length.shape)
        return loop_of_rows(make_stepper(), begun, options, _choosing(options), array.write(0, length), (sure,))

    written, (doubtful,) = tf.function(run, jit_compile=True, autograph=False)(padded, options)
    return written._replace(ids=written.ids[:, :steps]), doubtful


def _choosing(options: SamplingOptions) -> Callable[[tf.Tensor, tf.Tensor, Noted], tuple[tf.Tensor, Noted]]:
    """Builds a function of logits [B, V], uniform numbers [B] and which rows are doubtful [B]: ids [B], and those."""
    warm, sharpness = warmth(options.temperature)

    def choose(logits: tf.Tensor, numbers: tf.Tensor, noted: Noted) -> tuple[tf.Tensor, Noted]:
        probabilities = weigh(logits, sharpness)
        below = tf.cumsum(probabilities, axis=1)
        share = below / below[:, -1:]
        apart = _SCORES_APART * sharpness * share * (1.0 - share) + _SUMS_APART
        near = tf.reduce_any(tf.abs(share - numbers[:, tf.newaxis]) < apart, axis=1)
        best = tf.reduce_max(logits, axis=1, keepdims=True)
        several = tf.reduce_sum(tf.cast(logits > best - _BEST_APART, tf.int32), axis=1) > 1
        return draw(probabilities, numbers), (noted[0] | tf.where(warm, near, several),)

    return choose


def _replaced(written: Written, places: tf.Tensor, given: Any, write_again: Callable[..., Written]) -> Written:
    """Has the rows at some places, int64 [N], written again from what was given."""
    again = write_again(*rows_at(places, given))
    missing = tf.shape(written.ids)[1] - tf.shape(again.ids)[1]
    return with_rows_at(places, written, again._replace(ids=tf.pad(again.ids, [[0, 0], [0, missing]])))
