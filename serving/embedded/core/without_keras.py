"""Loads TensorFlow without what a server of graphs has no use for: Keras, SciPy, h5py.

`launch.model_server` loads the embedded server so. TensorFlow imports Keras for what its optimizers register, and the
other two for Keras models of old, and takes a miss as an answer. Without Keras, which brings pandas and matplotlib
along, a server starts 2 s of processor time earlier and is 190 MB smaller; SciPy and h5py are 20 MB.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_UNUSED = ("keras", "scipy", "h5py")


@contextmanager
def without_keras() -> Iterator[None]:
    """Lets nothing that is imported in the block import them, unless one is there already, or TensorFlow."""
    hidden = [] if "tensorflow" in sys.modules else [name for name in _UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # how Python is told that there is no such module
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
