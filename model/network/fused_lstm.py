"""Trains LSTM layers on a CPU about twice as fast as the Keras layer, with the same weights and results.

`network` uses it where there is no GPU (there, Keras calls cuDNN). It gains on the automatic gradient in four ways:
the one-hot product of the first layer is a row lookup, the backward loop does one matrix product a step and leaves
the weights' gradient to a single product afterwards, XLA compiles the whole into a few kernels, and parts of a batch
are computed side by side: the products of one time step are too small to keep several cores busy.
T is the window length, B the batch size, U the units, V the vocabulary size.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from charflow.model.network.cells import CellWeights

_MOST_PARTS = 4
_LEAST_ROWS = 16  # windows of a part: with fewer, packing the recurrent matrix for each product costs too much


@tf.custom_gradient
def lstm_sequence(projected: tf.Tensor, recurrent: tf.Tensor):  # type: ignore[no-untyped-def]
    """Runs one LSTM layer over a window from a zero state.

    Args:
        projected: inputs times kernel plus bias, gates in Keras's order i, f, g, o, [T, B, 4U].
        recurrent: [U, 4U].

    Returns:
        The outputs h, [T, B, U], and their gradient function.
    """
    steps, batch, units = tf.shape(projected)[0], tf.shape(projected)[1], recurrent.shape[0]
    zero = tf.zeros([batch, units])
    inputs = tf.TensorArray(tf.float32, steps).unstack(projected)

    def forward(t, h, c, all_gates, all_c, all_h):  # type: ignore[no-untyped-def]
        z_i, z_f, z_g, z_o = tf.split(inputs.read(t) + h @ recurrent, 4, axis=1)
        i, f, g, o = tf.sigmoid(z_i), tf.sigmoid(z_f), tf.tanh(z_g), tf.sigmoid(z_o)
        c = f * c + i * g
        h = o * tf.tanh(c)
        gates = tf.concat([i, f, g, o], axis=1)
        return t + 1, h, c, all_gates.write(t, gates), all_c.write(t, c), all_h.write(t, h)

    arrays = [tf.TensorArray(tf.float32, steps) for _ in range(3)]
    *_, gates, cells, outputs = tf.while_loop(lambda t, *_: t < steps, forward, (0, zero, zero, *arrays))
    gates, cells, outputs = gates.stack(), cells.stack(), outputs.stack()

    def gradient(d_outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _lstm_gradient(d_outputs, gates, cells, outputs, recurrent)

    return outputs, gradient


def _lstm_gradient(
    d_outputs: tf.Tensor, gates: tf.Tensor, cells: tf.Tensor, outputs: tf.Tensor, recurrent: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradients of `projected` [T, B, 4U] and `recurrent` [U, 4U].

    Each gate's local derivative is a product over the whole window, taken outside the loop; the loop then only
    carries dh and dc backwards.
    """
    i, f, g, o = tf.split(gates, 4, axis=2)
    tanh_c = tf.tanh(cells)
    before = lambda x: tf.concat([tf.zeros_like(x[:1]), x[:-1]], axis=0)  # noqa: E731
    local = tf.concat(
        [g * i * (1 - i), before(cells) * f * (1 - f), i * (1 - g * g), tanh_c * o * (1 - o)], axis=2
    )  # [T, B, 4U]: of dc (three times) and dh
    steps = tf.shape(gates)[0]
    array = lambda x: tf.TensorArray(tf.float32, steps).unstack(x)  # noqa: E731
    local_at, c_by_h, f_at, d_out = array(local), array(o * (1 - tanh_c * tanh_c)), array(f), array(d_outputs)
    transposed = tf.transpose(recurrent)

    def backward(t, dh, dc, dz_at):  # type: ignore[no-untyped-def]
        dh = dh + d_out.read(t)
        dc = dc + dh * c_by_h.read(t)
        dz = tf.concat([dc, dc, dc, dh], axis=1) * local_at.read(t)
        return t - 1, dz @ transposed, dc * f_at.read(t), dz_at.write(t, dz)

    zero = tf.zeros_like(outputs[0])
    *_, dz_at = tf.while_loop(
        lambda t, *_: t >= 0, backward, (steps - 1, zero, zero, tf.TensorArray(tf.float32, steps))
    )
    dz = dz_at.stack()  # [T, B, 4U]
    units = recurrent.shape[0]
    d_recurrent = tf.matmul(tf.reshape(before(outputs), [-1, units]), tf.reshape(dz, [-1, 4 * units]), transpose_a=True)
    return dz, d_recurrent


def loss_and_gradients(
    layers: Sequence[CellWeights],
    kernel: tf.Tensor,
    bias: tf.Tensor,
    ids: tf.Tensor,
    targets: tf.Tensor,
    masks: Sequence[tf.Tensor],
    learned: tf.Tensor | None = None,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """As `part_loss_and_gradients`, in parts of the batch that run side by side where the cores allow.

    Their number depends on the sizes alone, not on the machine: so do the last bits of the sums.
    """
    parts = count_parts(ids.shape[0], layers[0].recurrent.shape[0])
    shares = lambda x, axis=0: [x] * parts if x is None else tf.split(x, parts, axis)  # noqa: E731
    by_part = zip(shares(ids), shares(targets), shares(learned), *(shares(mask, axis=1) for mask in masks), strict=True)
    found = [
        part_loss_and_gradients(layers, kernel, bias, part_ids, part_targets, part_masks, part_learned)
        for part_ids, part_targets, part_learned, *part_masks in by_part
    ]
    losses, gradients = zip(*found, strict=True)
    return tf.add_n(losses), [tf.add_n(each) for each in zip(*gradients, strict=True)]


def count_parts(batch: int | None, units: int) -> int:
    """In how many parts a batch is computed; wide layers need larger ones.

    >>> count_parts(32, 256), count_parts(64, 1024)
    (2, 1)
    """
    least = max(_LEAST_ROWS, units // 16)
    return next(n for n in range(_MOST_PARTS, 0, -1) if n == 1 or (batch and batch % n == 0 and batch // n >= least))


@tf.function(jit_compile=True, autograph=False)
def part_loss_and_gradients(
    layers: Sequence[CellWeights],
    kernel: tf.Tensor,
    bias: tf.Tensor,
    ids: tf.Tensor,
    targets: tf.Tensor,
    masks: Sequence[tf.Tensor],
    learned: tf.Tensor | None = None,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Sums the cross-entropy over all targets, or those to be learned, and differentiates it.

    Args:
        layers: weights of the recurrent layers.
        kernel: of the dense layer, [U, V].
        bias: of the dense layer, [V].
        ids: int32 [B, T].
        targets: int32 [B] (the character after the window) or [B, T].
        masks: for each layer what its outputs are multiplied by, [1, B, U]; empty without dropout.
        learned: 1 for each target to be learned, 0 for others, float32 of their shape; None learns all.

    Returns:
        The sum in nats, and the gradients in the order (kernel, recurrent, bias) of each layer, kernel, bias.
    """
    weights = [*(tensor for layer in layers for tensor in layer), kernel, bias]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        by_time = tf.transpose(ids)  # [T, B]
        hidden: Any = None
        for index, layer in enumerate(layers):
            projected = (
                tf.gather(layer.kernel, by_time) if hidden is None else tf.tensordot(hidden, layer.kernel, axes=1)
            )
            hidden = lstm_sequence(projected + layer.bias, layer.recurrent)  # [T, B, U]
            if masks:
                hidden *= masks[index]
        if targets.shape.rank == 1:
            hidden = hidden[-1]
        logits = tf.tensordot(hidden, kernel, axes=1) + bias
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.transpose(targets), logits)  # [B] or [T, B]
        loss = tf.reduce_sum(nats if learned is None else nats * tf.transpose(learned))
    return loss, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, weights)]
