"""The arithmetic of one time step of Keras's LSTM and GRU, on the trained weights.

`contexts` steps with these functions when it decodes, so an exported graph has plain matrix products and no
`CudnnRNN` op, whatever trained the weights. B is the batch, U the units, G the gates (4 for LSTM, 3 for GRU).
"""

from typing import NamedTuple

import tensorflow as tf

from charflow.model.config import CellKind

State = tuple[tf.Tensor, ...]


class CellWeights(NamedTuple):
    """Weights of one recurrent layer as Keras lays them out (gates i, f, g, o or z, r, h).

    Shapes: kernel [inputs, G*U], recurrent [U, G*U], bias [4*U] (LSTM) or [2, 3*U] (GRU with reset_after).
    """

    kernel: tf.Tensor
    recurrent: tf.Tensor
    bias: tf.Tensor


def states_per_layer(kind: CellKind) -> int:
    """Number of [B, U] tensors one layer carries: h and c, or h."""
    return 2 if kind == "lstm" else 1


def input_bias(kind: CellKind, weights: CellWeights) -> tf.Tensor:
    """The bias added to the projected input, [G*U]."""
    return weights.bias if kind == "lstm" else weights.bias[0]


def step(kind: CellKind, projected: tf.Tensor, state: State, weights: CellWeights) -> State:
    """Advances one layer by one step.

    Args:
        kind: the cell.
        projected: input times kernel plus `input_bias`, [B, G*U].
        state: (h, c) or (h,), each [B, U].
        weights: of this layer.

    Returns:
        The new state; its first tensor is the layer's output.
    """
    return _lstm_step(projected, state, weights) if kind == "lstm" else _gru_step(projected, state, weights)


def _lstm_step(projected: tf.Tensor, state: State, weights: CellWeights) -> State:
    h, c = state
    i, f, g, o = tf.split(projected + h @ weights.recurrent, 4, axis=-1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(c), c


def _gru_step(projected: tf.Tensor, state: State, weights: CellWeights) -> State:
    (h,) = state
    x_z, x_r, x_h = tf.split(projected, 3, axis=-1)
    h_z, h_r, h_h = tf.split(h @ weights.recurrent + weights.bias[1], 3, axis=-1)
    z, r = tf.sigmoid(x_z + h_z), tf.sigmoid(x_r + h_r)
    return (z * h + (1.0 - z) * tf.tanh(x_h + r * h_h),)
