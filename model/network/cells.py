"""The arithmetic of one time step of Keras's LSTM and GRU, on the trained weights.

`contexts` steps with these functions when it decodes, so an exported graph has plain matrix products and no
`CudnnRNN` op, whatever trained the weights. B is the batch, U the units, G the gates (4 for LSTM, 3 for GRU).
"""

from collections.abc import Sequence
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


class GateWeights(NamedTuple):
    """The same weights, a tensor for each gate.

    A decoding step's products are small: one for each gate, side by side, takes half the time of one for all of them,
    and what it gives need not be split.

    Attributes:
        kernels: G times [inputs, U].
        recurrent: G times [U, U].
        input_bias: G times [U].
        recurrent_bias: likewise, of a GRU; nothing of an LSTM.
    """

    kernels: list[tf.Tensor]
    recurrent: list[tf.Tensor]
    input_bias: list[tf.Tensor]
    recurrent_bias: list[tf.Tensor]

    def look_up(self) -> list[tf.Tensor]:
        """What `project` gives for each one-hot input, G times [inputs, U]."""
        return [kernel + bias for kernel, bias in zip(self.kernels, self.input_bias, strict=True)]

    def project(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        """The part of each gate that does not depend on the state, G times [B, U], of inputs [B, inputs]."""
        return [inputs @ kernel + bias for kernel, bias in zip(self.kernels, self.input_bias, strict=True)]


def by_gate(kind: CellKind, weights: CellWeights) -> GateWeights:
    """Takes the weights of a layer apart."""
    gates = 4 if kind == "lstm" else 3
    input_bias, *recurrent_bias = [weights.bias] if kind == "lstm" else tf.unstack(weights.bias)
    return GateWeights(
        kernels=tf.split(weights.kernel, gates, axis=1),
        recurrent=tf.split(weights.recurrent, gates, axis=1),
        input_bias=tf.split(input_bias, gates),
        recurrent_bias=[gate for each in recurrent_bias for gate in tf.split(each, gates)],
    )


def states_per_layer(kind: CellKind) -> int:
    """Number of [B, U] tensors one layer carries: h and c, or h."""
    return 2 if kind == "lstm" else 1


def step(kind: CellKind, projected: Sequence[tf.Tensor], state: State, weights: GateWeights) -> State:
    """Advances one layer by one step.

    Args:
        kind: the cell.
        projected: as `GateWeights.project`, G times [B, U].
        state: (h, c) or (h,), each [B, U].
        weights: of this layer.

    Returns:
        The new state; its first tensor is the layer's output.
    """
    return _lstm_step(projected, state, weights) if kind == "lstm" else _gru_step(projected, state, weights)


def _lstm_step(projected: Sequence[tf.Tensor], state: State, weights: GateWeights) -> State:
    h, c = state
    i, f, g, o = (x + h @ recurrent for x, recurrent in zip(projected, weights.recurrent, strict=True))
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(c), c


def _gru_step(projected: Sequence[tf.Tensor], state: State, weights: GateWeights) -> State:
    (h,) = state
    x_z, x_r, x_h = projected
    h_z, h_r, h_h = (h @ each + bias for each, bias in zip(weights.recurrent, weights.recurrent_bias, strict=True))
    z, r = tf.sigmoid(x_z + h_z), tf.sigmoid(x_r + h_r)
    return (z * h + (1.0 - z) * tf.tanh(x_h + r * h_h),)
