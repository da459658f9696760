"""Writers of tiny SavedModels: a TF1 graph, a slow loop, a TF2 module, a module of texts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

v1 = tf.compat.v1
SIGNATURES = v1.saved_model.signature_def_utils
X = {"x": tf.io.FixedLenFeature([1], tf.float32)}


def save_graph(path: Path, session: Any, signatures: Mapping[str, Any], tags: tuple[str, ...] = ("serve",)) -> str:
    builder = v1.saved_model.Builder(str(path))
    builder.add_meta_graph_and_variables(session, list(tags), signature_def_map=dict(signatures))
    builder.save()
    return str(path)


def signature(
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    method: str = "tensorflow/serving/predict",
    defaults: Mapping[str, tensor_pb2.TensorProto] | None = None,
) -> Any:
    info = v1.saved_model.utils.build_tensor_info
    proto = SIGNATURES.build_signature_def(
        {name: info(tensor) for name, tensor in inputs.items()},
        {name: info(tensor) for name, tensor in outputs.items()},
        method,
    )
    for name, value in (defaults or {}).items():
        proto.defaults[name].CopyFrom(value)
    return proto


def save_half(path: Path, *, resource: bool = False, tags: tuple[str, ...] = ("serve",), bias: float = 2.0) -> str:
    """TF1: y = x / 2 + 2 in every way a request can ask for it."""
    with tf.Graph().as_default(), v1.Session() as session:
        a = v1.get_variable("a", initializer=0.5, use_resource=resource)
        b = v1.get_variable("b", initializer=bias, use_resource=resource)
        x = v1.placeholder(tf.float32, [None, 1], "x")
        y = tf.add(a * x, b, name="y")
        examples = v1.placeholder(tf.string, [None], "examples")
        parsed = v1.io.parse_example(examples, X)["x"]  # [n, 1]
        value = tf.identity(a * parsed + b, name="value")  # [n, 1]
        scores = tf.concat([value, -value], axis=1)  # [n, 2]
        labels = tf.tile([["plus", "minus"]], [tf.shape(value)[0], 1])
        p, q = (v1.placeholder(tf.float32, None, name) for name in "pq")
        session.run(v1.global_variables_initializer())
        return save_graph(
            path,
            session,
            {
                "serving_default": signature({"x": x}, {"y": y}),
                "twice": signature({"x": x}, {"y": y, "z": y, "all": tf.reduce_sum(y, name="all")}),
                "regress": signature({"inputs": examples}, {"outputs": value}, "tensorflow/serving/regress"),
                "classify": signature({"inputs": examples}, {"classes": labels, "scores": scores}),
                "product": signature(
                    {"p": p, "q": q}, {"pq": tf.multiply(p, q)}, defaults={"q": tf.make_tensor_proto(10.0)}
                ),
                "matmul": signature({"p": p, "q": q}, {"pq": tf.matmul(p, q)}),
            },
            tags,
        )


def save_loop(path: Path) -> str:
    """TF1: counts to n, which takes as long as n is large."""
    with tf.Graph().as_default(), v1.Session() as session:
        n = v1.placeholder(tf.int64, [None], "n")
        zero = tf.zeros_like(n)
        counted = v1.while_loop(lambda i: tf.reduce_any(i < n), lambda i: i + 1, [zero], name="count")
        return save_graph(path, session, {"serving_default": signature({"n": n}, {"counted": counted})})


class Line(tf.Module):
    """TF2: a line through zero, up and down."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = tf.Variable(3.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def line(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"up": self.slope * x, "down": -self.slope * x}


class Shout(tf.Module):
    """TF2: texts in, texts out, and scalars of both kinds."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def shout(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        loud = tf.strings.upper(text, encoding="utf-8")
        return {"loud": loud, "joined": tf.strings.reduce_join(loud, separator=" "), "count": tf.size(text)}


def save_module(path: Path, module: tf.Module, function: Any) -> str:
    tf.saved_model.save(module, str(path), signatures={"serving_default": function})
    return str(path)
