"""A copy of what a checkpoint saves, as it stands at one moment, which can be written while the variables go on.

`checkpoints` takes one in the training loop and writes it in a thread. A copied variable shares its buffer with the
variable until either is changed, as every tensor that was read does; only then is anything copied.
"""

import math
from typing import Any

import keras
import tensorflow as tf


class Snapshot:
    """Copies of the variables of a checkpoint, at their places in its graph of objects: its files are the same.

    Args:
        checkpoint: whose variables exist by now.
    """

    def __init__(self, checkpoint: tf.train.Checkpoint) -> None:
        self._pairs: list[tuple[tf.Variable, Any]] = []
        self._nodes: dict[int, Any] = {}
        self._checkpoint = tf.train.Checkpoint(**self._copies(checkpoint))

    @property
    def n_bytes(self) -> int:
        """Memory that what is taken needs, once the variables have changed."""
        return sum(math.prod(variable.shape) * copy.dtype.size for copy, variable in self._pairs)

    def take(self) -> None:
        """Copies the variables; to the host, where they are elsewhere."""
        for copy, variable in self._pairs:
            copy.assign(tf.convert_to_tensor(variable))

    def write(self, prefix: str) -> None:
        """Writes what was taken to `PREFIX.index` and files beside it; raises what TensorFlow does."""
        self._checkpoint.write(prefix)

    def drop(self) -> None:
        """Gives the memory of what was taken back."""
        for copy, _ in self._pairs:
            copy.assign(tf.zeros([0], copy.dtype))

    def _copies(self, node: Any) -> dict[str, Any]:
        return {name: self._copy(child) for name, child in tf.train.TrackableView.children(node).items()}

    def _copy(self, node: Any) -> Any:
        """The copy of a variable, or of what holds some; one for each, however many hold it."""
        if id(node) not in self._nodes:
            self._nodes[id(node)] = made = self._place(node)
            if isinstance(made, tf.Module):
                for name, child in self._copies(node).items():
                    setattr(made, name, child)
        return self._nodes[id(node)]

    def _place(self, node: Any) -> tf.Module | tf.Variable:
        if not isinstance(node, tf.Variable | keras.Variable):
            return tf.Module()
        name = (node.value if isinstance(node, keras.Variable) else node).name.partition(":")[0]  # the files hold it
        with tf.device("CPU:0"):  # of any shape, so that nothing is kept between two saves
            copy = tf.Variable(tf.zeros([0], node.dtype), trainable=False, shape=tf.TensorShape(None), name=name)
        self._pairs.append((copy, node))
        return copy
