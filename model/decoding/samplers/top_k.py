"""Top-k: the k most likely characters only."""

from typing import TYPE_CHECKING

from charflow.model.decoding.samplers import Sampler
from charflow.pipeline.bounds import Bounds

if TYPE_CHECKING:
    import tensorflow as tf


def keep(probabilities: "tf.Tensor", top_k: "tf.Tensor") -> "tf.Tensor":
    """Keeps the k most likely ids of each row; ties go to the lower id."""
    import tensorflow as tf

    size = tf.shape(probabilities)[1]
    order = tf.argsort(probabilities, direction="DESCENDING", stable=True)  # [B, V]
    rank = tf.argsort(order, stable=True)  # the inverse permutation
    return tf.where(rank < tf.where(top_k > 0, top_k, size)[:, tf.newaxis], probabilities, 0.0)


SAMPLER = Sampler(
    name="top_k",
    dtype="int32",
    off=0,
    usual=5,
    bounds=Bounds(at_least=0, note="0 is off"),
    metavar="K",
    help="Sample among the K most likely",
    place=10,
    keep=keep,
)
