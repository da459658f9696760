"""Exports the model again as a part of a larger one, which has a signature of its own and can be served alone.

python examples/in_a_larger_model.py models/a/1 models/suggest/1

Weights, tables and vocabulary come along: the folder of the first model is not needed any more.
"""

import sys

import tensorflow as tf


class Suggest(tf.Module):
    """Writes several completions of each prompt, and puts the one first that the model finds likeliest.

    Args:
        version: folder of an exported version.
        count: completions of each prompt, N.
    """

    def __init__(self, version: str, count: int = 4) -> None:
        super().__init__()
        self.model = tf.saved_model.load(version)
        self.count = count

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "prompt"), tf.TensorSpec([None], tf.int64, "seed")])
    def suggest(self, prompt: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Gives texts, string [B, N], and the bits that a character of each takes, float32 [B, N], fewest first."""
        seeds = tf.repeat(seed, self.count) + tf.tile(tf.range(self.count, dtype=tf.int64), tf.shape(prompt))
        written = self.model.generate(tf.repeat(prompt, self.count), seed=seeds, max_chars=tf.constant([40]))
        chars = tf.cast(tf.maximum(written["length"], 1), tf.float32)
        bits = tf.reshape(-written["log_prob"] / chars / tf.math.log(2.0), [-1, self.count])
        order = tf.argsort(bits)
        texts = tf.reshape(written["text"], [-1, self.count])
        return {"texts": tf.gather(texts, order, batch_dims=1), "bits": tf.gather(bits, order, batch_dims=1)}


def export(version: str, to: str) -> None:
    """Writes the larger model."""
    larger = Suggest(version)
    tf.saved_model.save(larger, to, signatures={"serving_default": larger.suggest})


if __name__ == "__main__":
    export(*sys.argv[1:])
