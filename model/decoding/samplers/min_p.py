"""Min-p: what has at least a share of the most likely character's probability.

Nguyen et al., "Turning up the heat: min-p sampling for creative and coherent LLM outputs", ICLR 2025, arXiv:2407.01082.
"""

from typing import TYPE_CHECKING

from charflow.model.decoding.samplers import Sampler
from charflow.pipeline.bounds import Bounds

if TYPE_CHECKING:
    import tensorflow as tf


def keep(probabilities: "tf.Tensor", min_p: "tf.Tensor") -> "tf.Tensor":
    """Keeps the ids with at least `min_p` of the row's largest probability: the largest always, and all that equal it.

    Args:
        probabilities: float32 [B, V], in any scale.
        min_p: float32 [B], from 0 to 1; 0 keeps all.

    Returns:
        float32 [B, V].
    """
    import tensorflow as tf

    top = tf.reduce_max(probabilities, axis=1, keepdims=True)  # [B, 1]
    return tf.where(probabilities >= min_p[:, tf.newaxis] * top, probabilities, 0.0)


SAMPLER = Sampler(
    name="min_p",
    dtype="float32",
    off=0.0,
    usual=0.1,
    bounds=Bounds(at_least=0, at_most=1, note="0 is off"),
    metavar="P",
    help="Leave out what has less than P of the top",
    place=30,
    keep=keep,
)
