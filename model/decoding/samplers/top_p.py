"""Top-p, or nucleus sampling: the most likely characters that together reach a probability.

Holtzman et al., "The curious case of neural text degeneration", ICLR 2020, arXiv:1904.09751.
"""

from typing import TYPE_CHECKING

from charflow.model.decoding.samplers import Sampler
from charflow.pipeline.bounds import Bounds

if TYPE_CHECKING:
    import tensorflow as tf


def keep(probabilities: "tf.Tensor", top_p: "tf.Tensor") -> "tf.Tensor":
    """Keeps the smallest set of most likely ids that reach `top_p` of each row's sum, at least one."""
    import tensorflow as tf

    from charflow.model.decoding.nucleus import keep_nucleus

    order = tf.argsort(probabilities, direction="DESCENDING", stable=True)  # [B, V]
    return keep_nucleus(probabilities, order, top_p)


SAMPLER = Sampler(
    name="top_p",
    dtype="float32",
    off=1.0,
    usual=0.9,
    bounds=Bounds(above=0, at_most=1, note="1 is off"),
    metavar="P",
    help="Sample among the likeliest of mass P",
    place=20,
    keep=keep,
)
