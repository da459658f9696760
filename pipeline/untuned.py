"""The options that every dataset of this package is read with.

tf.data tunes its parallelism in a thread of the iterator, which looks at it at ever longer intervals, up to a minute.
Whoever drops the iterator may have to wait for that thread: a command would not end, nor hear Ctrl-C, for as long.
Without it, AUTOTUNE stands for the number of cores, and our datasets are as fast.

tf.data also rewrites the graph of a dataset whenever it is read. What it would add is written into ours, and without
it a small file is read in two thirds of the time.
"""

import tensorflow as tf


def untuned() -> tf.data.Options:
    """Gives the options of a dataset whose iterator goes as soon as it is dropped."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return options
