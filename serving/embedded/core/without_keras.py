"""Loads TensorFlow without Keras.

`launch.model_server` loads the embedded server so. TensorFlow imports Keras for what its optimizers register, and takes
a miss as an answer; Keras brings pandas, matplotlib and SciPy along. A server knows graphs only: it starts 2 s of
processor time earlier and is 190 MB smaller without them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
