"""Chooses the tf.distribute strategy that everything is trained under.

Part of charflow.model; `trainer` enters its scope and runs every step through it.
"""

import tensorflow as tf

from charflow.pipeline.errors import UserError


def make_strategy() -> tf.distribute.Strategy:
    """Mirrors the weights on all GPUs if there are several; else uses the one GPU, or the CPU.

    GPU memory grows as it is needed, so that other programs keep their share.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def check_batch(strategy: tf.distribute.Strategy, batch_size: int) -> None:
    """Makes sure that the replicas can share the global batch evenly.

    Raises:
        UserError: they cannot; the message gives the nearest size that works.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        nearest = max(1, round(batch_size / replicas)) * replicas
        raise UserError(f"{replicas} replicas cannot share a batch of {batch_size}: use --batch-size {nearest}.")
