"""Draws the next character from a distribution: inverse CDF with one uniform number a character.

`decoder` calls it once a step. The uniform number depends on (seed, position) of its own row alone, so a text does
not depend on its neighbours in a batch, nor on how it is cut into chunks. B is the batch, V the vocabulary size.
"""

import numpy as np
import tensorflow as tf

# SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_UNIFORM_BITS = 23  # then u * total < total holds in float32 for every u


def uniforms(seed: tf.Tensor, position: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Makes the numbers for `count` characters from `position` on.

    Args:
        seed: int64 [B].
        position: int64 [B], characters generated before.
        count: scalar int32.

    Returns:
        float32 [count, B] in [0, 1), multiples of 2**-23.
    """
    places = position[tf.newaxis] + tf.range(tf.cast(count, tf.int64))[:, tf.newaxis]  # [count, B]
    start = _mix(tf.cast(seed, tf.uint64) * _GAMMA)  # neighbouring seeds start far apart
    bits = _mix(start[tf.newaxis] + tf.cast(places + 1, tf.uint64) * _GAMMA)
    top = tf.bitwise.right_shift(bits, tf.constant(64 - _UNIFORM_BITS, tf.uint64))
    return tf.cast(top, tf.float32) * 2.0**-_UNIFORM_BITS


def weigh(logits: tf.Tensor, sharpness: tf.Tensor) -> tf.Tensor:
    """The probabilities of a softmax, but for their scale: the likeliest has 1.

    Not by the op of a softmax: for more than one row it starts threads, which takes 25 to 50 microseconds.

    Args:
        logits: float32 [B, V].
        sharpness: float32 [B, 1], 1 / temperature.

    Returns:
        float32 [B, V].
    """
    return tf.exp((logits - tf.reduce_max(logits, axis=1, keepdims=True)) * sharpness)


def draw(probabilities: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Takes the first id whose cumulative probability exceeds the uniform number.

    Args:
        probabilities: float32 [B, V], non-negative, in any scale; ids of probability 0 are never drawn on a CPU. The
            running sum of a GPU is rounded in another order, and may rise there by its last bit.
        uniform: float32 [B] in [0, 1).

    Returns:
        int32 [B].
    """
    cumulative = tf.cumsum(probabilities, axis=1)
    threshold = uniform[:, tf.newaxis] * cumulative[:, -1:]
    # The op under tf.searchsorted, without the shape arithmetic around it, which a decoding step would feel.
    return tf.squeeze(tf.raw_ops.UpperBound(sorted_inputs=cumulative, values=threshold, out_type=tf.int32), axis=1)


def _mix(bits: tf.Tensor) -> tf.Tensor:
    for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
        bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint64))) * factor
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(31, tf.uint64)))
