"""Loads one version of a SavedModel and runs its tensors.

`models` keeps servables, `inference` asks them. A servable is a session with signatures as feeds and fetches, as in
TensorFlow Serving: any SavedModel with the right tags loads, TF1 or TF2. Against the functions of
`tf.saved_model.load` a session answered a model of two additions 6 to 20 times as often, a generation of 100 characters
1.1 to 1.2 times (`charflow bench serve` compares them). `graph_session` runs it.
"""

import gc
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Protocol

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import config_pb2, error_codes_pb2, meta_graph_pb2

from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.graph_session import GraphSession, Output, output_of
from charflow.serving.embedded.core.signature import MAX_RANK, ServedSignature, read_signature
from charflow.serving.embedded.core.step_threads import ALONE, StepThreads
from charflow.serving.errors import (
    DataLoss,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    ServingError,
    error_of,
)
from charflow.text_ops import register_ops_of

_NODES = re.compile(r"\s*\[\[.*?\]\]")  # where in the graph an error came up, in TensorFlow's notation


class Runner(Protocol):
    """Runs tensors of a graph: a servable alone, or behind a batching queue."""

    def run(
        self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *, deadline: Deadline = NEVER
    ) -> list[np.ndarray]:
        """Feeds and fetches tensors by their names in the graph, before the deadline."""
        ...


class Servable:
    """A loaded version.

    Attributes:
        signatures: what can be asked, by name, without TensorFlow's own.
        signature_defs: all of them as they were saved.
    """

    def __init__(
        self,
        path: str,
        *,
        tags: Sequence[str] = ("serve",),
        config: config_pb2.ConfigProto | None = None,
        threads: StepThreads | None = None,
    ) -> None:
        """Loads a version's folder.

        Args:
            path: the folder.
            tags: of the graph.
            config: of the session.
            threads: run the steps, where `config` is theirs.

        Raises:
            ServingError: there is no such SavedModel, or it is damaged.
        """
        self._graph = tf.Graph()
        self._session = GraphSession(self._graph, config)
        self._threads = threads
        try:
            meta_graph = _load(self._session.session, list(tags), path)
            self._outputs: dict[str, Output] = {}
            self._fetched: dict[str, Output] = {}
            with self._graph.as_default():
                self._guard_texts(meta_graph)
            self._session.extend()
        except BaseException:
            self.close()
            raise
        self.signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = dict(meta_graph.signature_def)
        self.signatures: Mapping[str, ServedSignature] = {
            name: read_signature(name, proto)
            for name, proto in self.signature_defs.items()
            if name != "__saved_model_init_op"
        }

    def run(
        self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *, deadline: Deadline = NEVER
    ) -> list[np.ndarray]:
        """Runs the graph; safe from many threads at once.

        Raises:
            ServingError: what TensorFlow raised, by its code and with its message; DEADLINE_EXCEEDED past the deadline.
        """
        inputs = {self._output(name): value for name, value in feeds.items()}
        outputs = [self._fetched.get(name) or self._output(name) for name in fetches]
        try:
            with self._threads.lease() if self._threads else nullcontext(ALONE) as pool:
                fetched = self._session.run(inputs, outputs, deadline, pool)
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        return [np.asarray(value, object if isinstance(value, bytes) else None) for value in fetched]

    def close(self) -> None:
        """Frees what the version holds."""
        self._session.close()
        del self._session, self._graph
        gc.collect()  # graph and session hold each other, and the variables with them

    def _guard_texts(self, meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
        """Has the graph check texts whose rank only a run shows: to fetch too many dimensions ends the process."""
        for signature in meta_graph.signature_def.values():
            for info in signature.outputs.values():
                if info.dtype == types_pb2.DT_STRING and info.tensor_shape.unknown_rank and info.name:
                    texts = self._graph.get_tensor_by_name(info.name)
                    message = f"an output has more than {MAX_RANK} dimensions"
                    with tf.control_dependencies([tf.debugging.Assert(tf.rank(texts) <= MAX_RANK, [message])]):
                        self._fetched[info.name] = output_of(tf.identity(texts))

    def _output(self, name: str) -> Output:
        if name not in self._outputs:
            try:
                self._outputs[name] = output_of(self._graph.get_tensor_by_name(name))
            except (KeyError, ValueError) as error:
                raise InvalidArgument(f"The graph has no tensor {name}.") from error
        return self._outputs[name]


def from_tensorflow(error: tf.errors.OpError) -> ServingError:
    """Turns TensorFlow's error into the one of the same code; nodes of the graph are left out of its message."""
    if isinstance(error, tf.errors.DeadlineExceededError):
        return DeadlineExceeded("Deadline exceeded: the model took longer than the request had time")
    message = _NODES.sub("", error.message).removeprefix("Graph execution error:\n\n")
    return error_of(error_codes_pb2.Code.Name(error.error_code), message)


def _load(session: tf.compat.v1.Session, tags: list[str], path: str) -> meta_graph_pb2.MetaGraphDef:
    try:
        register_ops_of(path)
        return tf.compat.v1.saved_model.load(session, tags, path)
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
    except RuntimeError as error:  # no MetaGraph with these tags
        wanted = " ".join(tags)
        raise NotFound(f"Could not find meta graph def matching supplied tags: {{ {wanted} }}: {error}") from error
    except OSError as error:
        found = tf.io.gfile.exists(path) and "does not exist" not in str(error)
        raise (DataLoss if found else NotFound)(f"{path}: {error}") from error
    except Exception as error:  # a damaged graph fails in many ways, none of them the server's
        raise Internal(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
