"""Calls the signatures of a SavedModel in the two ways the world does.

`check` compares the two. Both take and give NumPy arrays by name; texts are bytes in object arrays.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2, saved_model_pb2

from charflow.serving.layout import GRAPH

_TAG = "serve"


class SessionRunner:
    """A session with signatures as feeds and fetches, through TensorFlow's session loader, as TensorFlow Serving does.

    Its graph is taken as it was saved, with functions inlined and nothing else rewritten: a signature's first run then
    takes 0.3 seconds instead of 0.7, and those after it are no slower. Functions have all of TensorFlow's rewriting, so
    that whoever compares the two sees whether it changed something.

    Attributes:
        signatures: SignatureDef protos by name, without TensorFlow's own.
    """

    def __init__(self, version_folder: Path) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=_as_saved())
        meta_graph = tf.compat.v1.saved_model.load(self._session, [_TAG], str(version_folder))
        self.signatures = {
            name: signature for name, signature in meta_graph.signature_def.items() if not name.startswith("__")
        }

    def __call__(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature; inputs left out take the signature's defaults."""
        signature = self.signatures[name]
        defaults = {key: tf.make_ndarray(value) for key, value in signature.defaults.items()}
        feeds = {signature.inputs[key].name: value for key, value in {**defaults, **inputs}.items()}
        fetches = {key: info.name for key, info in signature.outputs.items()}
        outputs: dict[str, np.ndarray] = self._session.run(fetches, feeds)
        return outputs


def _as_saved() -> config_pb2.ConfigProto:
    """Has a session inline functions, and leave out TensorFlow's other optimisers of graphs."""
    config = config_pb2.ConfigProto()
    passes = config.graph_options.rewrite_options
    passes.meta_optimizer_iterations = passes.ONE
    passes.memory_optimization = passes.NO_MEM_OPT
    for field in passes.DESCRIPTOR.fields:
        toggled = field.enum_type is rewriter_config_pb2.RewriterConfig.Toggle.DESCRIPTOR
        if toggled and field.name != "function_optimization":
            setattr(passes, field.name, passes.OFF)
    return config


class FunctionRunner:
    """The functions of `tf.saved_model.load`, as a TensorFlow program embeds them.

    Attributes:
        signatures: functions by name.
    """

    def __init__(self, version_folder: Path) -> None:
        self._module = tf.saved_model.load(str(version_folder))  # functions live as long as their module
        self.signatures: dict[str, Any] = dict(self._module.signatures)

    def __call__(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature with all its inputs."""
        outputs = self.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        return {key: value.numpy() for key, value in outputs.items()}


def read_graph(version_folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields `(op, attributes)` of every node, those in functions too."""
    proto = saved_model_pb2.SavedModel.FromString((version_folder / GRAPH).read_bytes())
    for meta_graph in proto.meta_graphs:
        graph = meta_graph.graph_def
        for node in graph.node:
            yield node.op, node.attr
        functions = {function.signature.name for function in graph.library.function}
        for function in graph.library.function:
            yield "NoOp", function.attr
            yield from ((node.op, node.attr) for node in function.node_def if node.op not in functions)
