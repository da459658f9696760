"""The server's modules without Keras: what is loaded, and what can be loaded later."""

import subprocess
import sys

import pytest

from charflow.serving.embedded.core.without_keras import without_keras

SERVER = """
import sys
from charflow.serving.embedded.core.without_keras import without_keras
with without_keras():
    from charflow.serving.embedded.server import serve
print(sorted({"keras", "scipy", "h5py", "tensorflow_text", "pandas", "matplotlib", "optuna"} & set(sys.modules)))
import tensorflow as tf
import h5py, keras, scipy
print(keras.layers.Dense(3)(tf.ones([2, 4])).shape)
"""


@pytest.mark.slow
def test_server_is_loaded_without_keras_which_can_still_be_loaded_later() -> None:
    run = subprocess.run([sys.executable, "-c", SERVER], capture_output=True, text=True, timeout=300, check=False)
    assert run.stdout.splitlines() == ["[]", "(2, 3)"], run.stderr


def test_what_is_there_stays() -> None:
    import keras

    there = dict(sys.modules)
    with without_keras():
        import keras as again
    assert again is keras and sys.modules == there
