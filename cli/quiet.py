"""Loads TensorFlow without its start-up chatter.

The commands call it before they import anything that uses TensorFlow. The C++ runtime writes to file descriptor 2
behind Python's back, so the descriptor itself is turned away while it starts.
"""

import os
import sys
import tempfile
import warnings


def load_tensorflow() -> None:
    """Imports TensorFlow and starts its devices; what it says meanwhile is shown only if it fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")
            tf.config.list_physical_devices()
            tf.constant(0)
        except Exception:
            chatter.seek(0)
            os.write(stderr, chatter.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    warnings.filterwarnings("ignore", module="keras|tensorflow")
