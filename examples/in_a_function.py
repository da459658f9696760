"""Calls `generate` from another tf.function: what it writes is a tensor of that graph like any other.

python examples/in_a_function.py models/a/1 "how do i "
"""

import sys
from collections.abc import Callable

import tensorflow as tf


def make_suggest(version: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """Makes a function of prompts, string [B], that gives three completions of each, string [B, 3]."""
    model = tf.saved_model.load(version)  # its functions live as long as it does: `suggest` holds on to it

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def suggest(prompts: tf.Tensor) -> tf.Tensor:
        seeds = tf.tile(tf.constant([1, 2, 3], tf.int64), [tf.size(prompts)])
        # Settings have shape [B], or [1] for all rows alike; what is left out has the default of the export.
        written = model.generate(tf.repeat(prompts, 3), seed=seeds, max_chars=tf.constant([40]))
        return tf.reshape(written["text"], [-1, 3])

    return suggest


if __name__ == "__main__":
    version, *prompts = sys.argv[1:]
    for texts in make_suggest(version)(tf.constant(prompts)).numpy():
        print("\n".join(text.decode() for text in texts))
