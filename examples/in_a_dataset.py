"""Calls `generate` in a tf.data pipeline: batches of prompts in, prompts with their completions out.

python examples/in_a_dataset.py models/a/1 < prompts.txt
"""

import sys
from collections.abc import Iterable

import tensorflow as tf

BATCH = 32


def completed(prompts: Iterable[str], version: str) -> tf.data.Dataset:
    """Gives `(prompt, completion, log_prob)` for each prompt; row i has seed i, whatever the batch size."""
    model = tf.saved_model.load(version)

    def complete(first: tf.Tensor, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        seeds = first * BATCH + tf.range(tf.size(batch, tf.int64))
        written = model.generate(batch, seed=seeds, max_chars=tf.constant([40]))
        return batch, written["text"], written["log_prob"]

    batches = tf.data.Dataset.from_tensor_slices(list(prompts)).batch(BATCH)
    return batches.enumerate().map(complete, num_parallel_calls=tf.data.AUTOTUNE).unbatch()


if __name__ == "__main__":
    lines = (line.rstrip("\n") for line in sys.stdin)
    for prompt, text, log_prob in completed(lines, sys.argv[1]).as_numpy_iterator():
        print(f"{log_prob:8.2f} {prompt.decode()}{text.decode()}")
