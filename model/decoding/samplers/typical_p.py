"""Locally typical sampling: the characters whose surprise is nearest to what is expected, up to a probability.

Meister et al., "Locally typical sampling", TACL 2023, arXiv:2202.00666.
"""

from typing import TYPE_CHECKING

from charflow.model.decoding.samplers import Sampler
from charflow.pipeline.bounds import Bounds

if TYPE_CHECKING:
    import tensorflow as tf


def keep(probabilities: "tf.Tensor", typical_p: "tf.Tensor") -> "tf.Tensor":
    """Keeps the fewest ids that reach `typical_p` of each row's sum, at least one, those first whose -log p is nearest
    to the row's entropy; ties go to the lower id.

    Args:
        probabilities: float32 [B, V], in any scale.
        typical_p: float32 [B], above 0 and at most 1; 1 keeps all.

    Returns:
        float32 [B, V].
    """
    import tensorflow as tf

    from charflow.model.decoding.nucleus import keep_nucleus

    # Logarithms of equal numbers differ in the last bit by their places in a batch: float64, rounded, has none of that.
    exact = tf.cast(probabilities, tf.float64)
    exact /= tf.reduce_sum(exact, axis=1, keepdims=True)
    surprise = -tf.math.log(exact)  # infinite where nothing is left
    entropy = tf.reduce_sum(tf.math.multiply_no_nan(surprise, exact), axis=1, keepdims=True)  # [B, 1]
    distance = tf.cast(tf.abs(surprise - entropy), tf.float32)
    return keep_nucleus(probabilities, tf.argsort(distance, stable=True), typical_p)


SAMPLER = Sampler(
    name="typical_p",
    dtype="float32",
    off=1.0,
    usual=0.9,
    bounds=Bounds(above=0, at_most=1, note="1 is off"),
    metavar="P",
    help="Sample among the most typical of mass P",
    place=40,
    keep=keep,
)
