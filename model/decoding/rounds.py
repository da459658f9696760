"""Rows that have ended make room: what is left to write goes on as a smaller batch.

`sampling_loops` has the loops. A round is a text's next piece, as if another call continued it: where a text is cut
changes nothing of it. B is the batch, K the rows that a round writes, T a number of characters.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from charflow.model.decoding.writing import SamplingOptions, Written
from charflow.model.network.cells import State

_FEWEST = 8  # rows that are worth leaving behind
Piece = Callable[[State, tf.Tensor, tf.Tensor, SamplingOptions, tf.Tensor], Written]


def in_rounds(piece: Piece, state: State, tail: tf.Tensor, position: tf.Tensor, options: SamplingOptions) -> Written:
    """Writes texts of different lengths, by a loop that rows do not leave one by one.

    Args:
        piece: function of state, tail, position and options, as here, and int32 []: writes all rows until no more than
            that many go on. The state of a row that goes on is that after its last character.
        state: what was read before.
        tail: int32 [B, LONGEST_STOP], the ids written before.
        position: int64 [B], number of characters written before.
        options: how to sample.
    """

    def next_round(places: tf.Tensor, written: Written) -> tuple[tf.Tensor, Written]:
        now, begun, rest = rows_at(places, (written, position, options))
        rest = rest._replace(max_chars=rest.max_chars - now.length, messages=now.left)
        few = tf.shape(places)[0] // 2
        few = tf.where(few < _FEWEST, 0, few)
        more = piece(now.state, now.tail, begun + tf.cast(now.length, tf.int64), rest, few)
        written = _joined(written, places, now, more)
        return _going_on(written, options), written

    nothing = Written(
        ids=tf.zeros([tf.shape(tail)[0], 0], tf.int32),
        length=tf.zeros_like(options.max_chars),
        log_prob=tf.zeros_like(options.temperature),
        stopped=tf.zeros_like(options.max_chars, tf.bool),
        state=state,
        tail=tail,
        left=options.messages,
    )
    shapes = tf.nest.map_structure(lambda each: each.shape, nothing)._replace(ids=tf.TensorShape([None, None]))
    return tf.while_loop(
        lambda places, _: tf.size(places) > 0,
        next_round,
        (_going_on(nothing, options), nothing),
        shape_invariants=(tf.TensorShape([None]), shapes),
    )[1]


def rows_at(places: tf.Tensor, rows: Any) -> Any:
    """Takes the rows at some places, int [K], of tensors [B, ...]."""
    return tf.nest.map_structure(lambda each: tf.gather(each, places), rows)


def with_rows_at(places: tf.Tensor, rows: Any, new: Any) -> Any:
    """Puts new rows, [K, ...], into tensors [B, ...]."""
    put = lambda each, other: tf.tensor_scatter_nd_update(each, places[:, tf.newaxis], other)  # noqa: E731
    return tf.nest.map_structure(put, rows, new)


def _going_on(written: Written, options: SamplingOptions) -> tf.Tensor:
    """Places of the rows that are not written to their end, int32 [K]."""
    on = (written.length < options.max_chars) & ~written.stopped & (written.left > 0)
    return tf.cast(tf.where(on)[:, 0], tf.int32)


def _joined(written: Written, places: tf.Tensor, now: Written, more: Written) -> Written:
    """All rows, with what was written more at some places, where they stood at `now`."""
    sums = more._replace(length=now.length + more.length, log_prob=now.log_prob + more.log_prob)
    columns = tf.zeros([tf.shape(written.ids)[0], tf.shape(more.ids)[1]], tf.int32)
    ids = tf.concat([written.ids, with_rows_at(places, columns, more.ids)], axis=1)
    others = with_rows_at(places, written._replace(ids=()), sums._replace(ids=()))
    return others._replace(ids=ids)
