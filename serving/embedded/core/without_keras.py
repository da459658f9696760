"""Loads TensorFlow without Keras, and TensorFlow Text's ops without its Python.

`launch.model_server` loads the embedded server so. TensorFlow imports Keras for what its optimizers register, and takes
a miss as an answer; Keras brings pandas, matplotlib and SciPy along. A server knows graphs only: it starts 2 s of
processor time earlier and is 190 MB smaller without them.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_KERAS = "keras"


@contextmanager
def without_keras() -> Iterator[None]:
    """Lets nothing that is imported in the block import Keras, unless it or TensorFlow is there already."""
    if _KERAS in sys.modules or "tensorflow" in sys.modules:
        yield
        return
    sys.modules[_KERAS] = None  # type: ignore[assignment]  # how Python is told that there is no such module
    try:
        yield
    finally:
        del sys.modules[_KERAS]


def register_text_ops() -> None:
    """Registers the ops of TensorFlow Text, as stock TensorFlow Serving links them; its layers would want Keras.

    Raises:
        ImportError: it is not installed.
    """
    import tensorflow as tf

    found = importlib.util.find_spec("tensorflow_text")
    libraries = sorted(Path(found.origin).parent.glob("python/ops/_*.so")) if found and found.origin else []
    if not libraries:
        raise ImportError("TensorFlow Text has no libraries of ops: install tensorflow-text anew.")
    for library in libraries:
        tf.load_op_library(str(library))
