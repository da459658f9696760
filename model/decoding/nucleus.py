"""The smallest set of characters that reaches a probability, taken in some order: what top-p and typical-p keep."""

import tensorflow as tf


def keep_nucleus(probabilities: tf.Tensor, order: tf.Tensor, mass: tf.Tensor) -> tf.Tensor:
    """Keeps the fewest ids that reach their share of each row's sum, at least one; 0 for the others.

    Args:
        probabilities: float32 [B, V], in any scale.
        order: in which the ids of each row are taken, int32 [B, V].
        mass: the share, float32 [B]; 1 keeps all.

    Returns:
        float32 [B, V].
    """
    size = tf.shape(probabilities)[1]
    ordered = tf.gather(probabilities, order, batch_dims=1)
    before = tf.cumsum(ordered, axis=1, exclusive=True)
    wanted = mass[:, tf.newaxis] * tf.reduce_sum(ordered, axis=1, keepdims=True)
    reaching = tf.maximum(1, tf.reduce_sum(tf.cast(before < wanted, tf.int32), axis=1, keepdims=True))
    rank = tf.argsort(order, stable=True)  # the inverse permutation
    return tf.where(rank < tf.where(mass[:, tf.newaxis] < 1.0, reaching, size), probabilities, 0.0)
