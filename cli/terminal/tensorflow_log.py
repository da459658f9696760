"""Loads TensorFlow without its start-up chatter.

The commands call it before they import anything that uses TensorFlow. The C++ runtime writes to file descriptor 2
behind Python's back, so the descriptor itself is turned away while it starts.
"""

import os
import warnings

from charflow.cli.terminal.grpc_log import quiet_grpc
from charflow.serving.scratch import quiet_unless_it_fails


def load_tensorflow(*, start_devices: bool = True, log_placement: bool = False) -> None:
    """Imports TensorFlow and starts its devices; what it says meanwhile is shown only if it fails.

    Args:
        start_devices: False where a cluster must be joined before anything is computed. The memory of GPUs grows as it
            is needed, so that other programs keep their share.
        log_placement: TensorFlow then prints which device runs which op, beside its other messages.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if log_placement else "3")
    quiet_grpc()
    with quiet_unless_it_fails():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.debugging.set_log_device_placement(log_placement)
        if start_devices:
            tf.constant(0)
    warnings.filterwarnings("ignore", module="keras|tensorflow")
