"""Runs tensors of a graph through TensorFlow's own thin wrapper: the one file that uses names TensorFlow keeps private.

`servable` runs its graph here. The public ways are no substitute: `Session.run` and `make_callable`
refuse feeds whose rank differs from the placeholder's, which TensorFlow Serving accepts, and took a graph of one
multiplication 3,000 times a second where the wrapper that they call took it 19,000 times (2 cores).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.errors import DeadlineExceeded, UsageError

try:
    from tensorflow.python.client import pywrap_tf_session
except ImportError:
    pywrap_tf_session = None

# What a TensorFlow must have besides its public names, by what has it.
PRIVATE = {
    "pywrap_tf_session": ("TF_SessionRun_wrapper", "TF_NewBufferFromString", "TF_DeleteBuffer"),
    "Tensor": ("_as_tf_output",),
    "Session": ("_session",),
}

Output: TypeAlias = Any  # an output of an op, as the wrapper takes it


def check_tensorflow() -> None:
    """Looks for the private names, before a model is loaded that could not be run.

    Raises:
        UsageError: this TensorFlow lacks one.
    """
    _need("pywrap_tf_session", pywrap_tf_session)
    with tf.Graph().as_default():
        _need("Tensor", tf.compat.v1.placeholder(tf.float32))


class GraphSession:
    """A session whose graph can grow until it is first run.

    Attributes:
        session: TensorFlow's, for what loads into it.
    """

    def __init__(self, graph: tf.Graph, config: config_pb2.ConfigProto | None = None) -> None:
        self._graph = graph
        self.session = tf.compat.v1.Session(graph=graph, config=config)
        _need("Session", self.session)

    def extend(self) -> None:
        """Takes in what was added to the graph; `run` does not see to it."""
        with self._graph.as_default():
            self.session.run(tf.no_op())

    def run(
        self, feeds: Mapping[Output, Any], fetches: Sequence[Output], deadline: Deadline = NEVER, pool: int = 0
    ) -> list[Any]:
        """Runs the graph; safe from many threads at once. A scalar comes as NumPy's own, a text as bytes.

        Args:
            feeds: values by the outputs that they stand in for.
            fetches: what to compute.
            deadline: when the step ends, done or not.
            pool: which of the configuration's inter-op pools runs the ops.

        Raises:
            tf.errors.OpError: what TensorFlow raised; DeadlineExceededError where the time was up.
            DeadlineExceeded: the time was up before.
        """
        with _run_options(deadline, pool) as options:
            fetched: list[Any] = pywrap_tf_session.TF_SessionRun_wrapper(
                self.session._session, options, feeds, fetches, [], None
            )
        return fetched

    def close(self) -> None:
        """Frees what the session holds."""
        self.session.close()


def output_of(tensor: tf.Tensor) -> Output:
    """The output that makes a tensor of a graph."""
    return tensor._as_tf_output()


@contextmanager
def _run_options(deadline: Deadline, pool: int) -> Iterator[object]:
    """Gives the RunOptions that end a step at the deadline, in the form the wrapper takes."""
    wanted = config_pb2.RunOptions(inter_op_thread_pool=pool)
    if deadline != NEVER:
        left = deadline.left()
        if left <= 0:
            raise DeadlineExceeded("the deadline had passed before the model could run")
        wanted.timeout_in_ms = min(max(1, round(left * 1000)), 2**31)
    options = pywrap_tf_session.TF_NewBufferFromString(wanted.SerializeToString())
    try:
        yield options
    finally:
        pywrap_tf_session.TF_DeleteBuffer(options)


def _need(place: str, owner: object) -> None:
    for name in PRIVATE[place]:
        if not hasattr(owner, name):
            raise UsageError(
                f"TensorFlow {tf.__version__} has no {place}.{name}, by which the embedded server runs models: install "
                "the TensorFlow that charflow asks for, or serve with tensorflow_model_server or its Docker image."
            )
