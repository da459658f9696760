"""Signatures as a MetaGraph has them."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from charflow.serving import errors
from charflow.serving.embedded.core.signature import MAX_RANK, ServedSignature, TensorSpec, read_signature


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
    assert read.name == "generate"
    assert list(read.inputs) == ["length", "prompt"]
    assert read.inputs["prompt"] == TensorSpec(tensor="prompt:0", dtype=tf.string, shape=(None,))
    assert read.inputs["length"] == TensorSpec(tensor="length:0", dtype=tf.int32, shape=())
    assert read.outputs["text"].shape is None


def test_read_signature_reads_the_defaults_of_inputs() -> None:
    proto = meta_graph_pb2.SignatureDef()
    proto.inputs["length"].CopyFrom(info("length:0", tf.int32, [2]))
    proto.defaults["length"].CopyFrom(tf.make_tensor_proto([5, 6]))
    np.testing.assert_array_equal(read_signature("generate", proto).defaults["length"], np.int32([5, 6]))


def taking(shape: tuple[int | None, ...] | None, dtype: tf.DType = tf.string) -> ServedSignature:
    spec = TensorSpec(tensor="x:0", dtype=dtype, shape=shape)
    return ServedSignature(name="any", inputs={"x": spec}, outputs={}, defaults={})


@pytest.mark.parametrize(
    ("declared", "shape"),
    [
        ((None,), (3,)),
        ((None, 1), (3, 1)),
        ((None, 1), (3,)),  # the first example of TensorFlow Serving's documentation
        ((None, 1, 1), (3,)),
        ((None, 3), (2, 4)),  # a kernel's business
        (None, (1,) * MAX_RANK),
        ((), ()),
    ],
    ids=str,
)
def test_check_tensor_takes_what_tensorflow_serving_takes(
    declared: tuple[int | None, ...] | None, shape: tuple[int, ...]
) -> None:
    taking(declared).check_tensor("x", tf.string, shape)


@pytest.mark.parametrize(
    ("declared", "shape", "message"),
    [
        ((None,), (), "input x must have shape [-1], but the request has []."),
        ((None,), (3, 1), "input x must have shape [-1], but the request has [3, 1]."),
        ((None, 3), (3,), "input x must have shape [-1, 3], but the request has [3]."),
        ((), (1,), "input x must have shape [], but the request has [1]."),
        (None, (1,) * 33, "input x has 33 dimensions, more than 32."),
        ((None,) * 40, (1,) * 40, "input x has 40 dimensions, more than 32."),
    ],
    ids=str,
)
def test_check_tensor_refuses_ranks(
    declared: tuple[int | None, ...] | None, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        taking(declared).check_tensor("x", tf.string, shape)
    assert caught.value.message == message


@pytest.mark.parametrize("dtype", [tf.resource, tf.variant], ids=lambda dtype: dtype.name)
def test_check_tensor_refuses_values_that_cannot_be_sent(dtype: tf.DType) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"^input x is DT_{dtype.name.upper()}, whose values cannot be"):
        taking(None, dtype).check_tensor("x", dtype, ())
