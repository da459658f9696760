"""Signatures as a MetaGraph has them."""

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from charflow.serving.embedded.signature import TensorSpec, read_signature


def info(name: str, dtype: tf.DType, shape: list[int] | None) -> meta_graph_pb2.TensorInfo:
    proto = meta_graph_pb2.TensorInfo(name=name, dtype=dtype.as_datatype_enum)
    proto.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    return proto


def test_read_signature_reads_names_types_and_shapes_in_the_order_of_the_names() -> None:
    proto = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    proto.inputs["prompt"].CopyFrom(info("prompt:0", tf.string, [None]))
    proto.inputs["length"].CopyFrom(info("length:0", tf.int32, []))
    proto.outputs["text"].CopyFrom(info("text:0", tf.string, None))
    read = read_signature("generate", proto)
    assert (read.name, read.method) == ("generate", "tensorflow/serving/predict")
    assert list(read.inputs) == ["length", "prompt"]
    assert read.inputs["prompt"] == TensorSpec(tensor="prompt:0", dtype=tf.string, shape=(None,))
    assert read.inputs["length"] == TensorSpec(tensor="length:0", dtype=tf.int32, shape=())
    assert read.outputs["text"].shape is None


def test_read_signature_reads_the_defaults_of_inputs() -> None:
    proto = meta_graph_pb2.SignatureDef()
    proto.inputs["length"].CopyFrom(info("length:0", tf.int32, [2]))
    proto.defaults["length"].CopyFrom(tf.make_tensor_proto([5, 6]))
    np.testing.assert_array_equal(read_signature("generate", proto).defaults["length"], np.int32([5, 6]))
