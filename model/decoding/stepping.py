"""Takes a trained network one character further, as tensors of the graph that is being traced.

`decoder` prepares a `Stepper`, reads and judges with it; `sampling_loops` has it write. B is the batch, T a number of
characters, U the units, V the vocabulary size.
"""

from typing import NamedTuple

import tensorflow as tf

from charflow.model.decoding.contexts import Context
from charflow.model.network.cells import State

IMPOSSIBLE = -1e30  # a logit whose softmax is 0 in float32 at every temperature that is used


class Stepper(NamedTuple):
    """The network outside of the loops that it is used in.

    Attributes:
        context: the recurrent layers, prepared, and what is joined to them.
        kernel: float32 [U, V].
        bias: float32 [V].
    """

    context: Context
    kernel: tf.Tensor
    bias: tf.Tensor

    def advance(self, state: State, ids: tf.Tensor) -> State:
        """Reads an id in each row, [B]."""
        return self.context.advance(state, ids)

    def logits(self, state: State) -> tf.Tensor:
        """Scores of the next character, [B, V]."""
        return self.context.joined(self.context.output(state) @ self.kernel + self.bias, state)

    def read(self, state: State, ids: tf.Tensor, lengths: tf.Tensor) -> State:
        """Reads the first `lengths` [B] ids of each row of `ids` [B, T]."""
        by_time = tf.transpose(ids)  # [T, B]

        def body(t: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            return t + 1, select(t < lengths, self.advance(state, by_time[t]), state)

        steps = tf.reduce_max(tf.concat([lengths, [0]], axis=0))
        return tf.while_loop(lambda t, _: t < steps, body, (0, state))[1]

    def barred(self, ids: tf.Tensor) -> tf.Tensor:
        """What is added to logits, [B, V], so that these ids [B] are not chosen; -1 bars none."""
        return tf.one_hot(ids, self.bias.shape[0], on_value=IMPOSSIBLE, off_value=0.0)


def select(active: tf.Tensor, new: State, old: State) -> State:
    """Takes the new state in active rows."""
    return tuple(
        tf.where(tf.reshape(active, [-1] + [1] * (after.shape.rank - 1)), after, before)
        for after, before in zip(new, old, strict=True)
    )


def array_like(first: tf.Tensor, steps: tf.Tensor) -> tf.TensorArray:
    """An array for `steps` tensors from index 1 on; index 0 holds `first`, because no empty array can be stacked."""
    shape = [None] * first.shape.rank
    return tf.TensorArray(first.dtype, steps + 1, dynamic_size=True, element_shape=shape).write(0, first)
