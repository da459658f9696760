"""Tensors and messages against TensorFlow's own readings."""

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.framework import tensor_pb2

from charflow.serving import Internal
from charflow.serving.client.arguments import Tensor
from charflow.serving.client.wire import grpc_codec, rest_codec
from charflow.serving.client.wire.transport import Target

ARRAYS = {
    "floats": np.array([[1.5, -0.25, 1e-42], [3e38, 0.1, -0.0]], np.float32),
    "doubles": np.array([0.1, 1e300]),
    "ints": np.array([[-(2**31)], [2**31 - 1]], np.int32),
    "longs": np.array([-(2**63), 2**63 - 1], np.int64),
    "bools": np.array([True, False]),
    "strings": np.array([["é🌻", ""], ["a\x00b", "c"]], object),
    "scalar": np.array(2.5, np.float32),
    "no rows": np.zeros([0, 3], np.float32),
    "no columns": np.zeros([2, 0], np.float32),
    "three dimensions": np.arange(24, dtype=np.int64).reshape(2, 3, 4),
    "one number repeated": np.full([2, 3], 0.5, np.float32),
    "zeros": np.zeros([2, 3], np.float32),
    "not finite": np.array([np.inf, -np.inf], np.float32),
}


def typed(array: np.ndarray) -> Any:
    """The tensor in its typed field, as TensorFlow Serving answers; `tf.make_tensor_proto` packs the bytes."""
    proto = tf.make_tensor_proto(array)
    values = tf.make_ndarray(proto).ravel().tolist()
    proto.ClearField("tensor_content")
    field = grpc_codec.field_of(grpc_codec.types_pb2.DataType.Name(proto.dtype))
    proto.ClearField(field)
    getattr(proto, field).extend(values)
    return proto


@pytest.mark.parametrize("form", ["packed", "typed"])
@pytest.mark.parametrize("case", ARRAYS)
def test_tensors_are_read_as_tensorflow_reads_them(case: str, form: str) -> None:
    array = ARRAYS[case]
    proto = tf.make_tensor_proto(array) if form == "packed" else typed(array)
    assert grpc_codec._values(proto) == array.tolist()
    written = MessageToDict(proto, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    found = rest_codec._values(json.loads(json.dumps(written)))
    assert np.array(found, array.dtype).tolist() == array.tolist()  # JSON has the shortest digits of a float32


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.25]], ids=["none", "one", "two"])
def test_values_left_out_repeat_the_last(values: list[float]) -> None:
    proto = tf.make_tensor_proto(np.zeros([2, 2], np.float32))
    proto.ClearField("tensor_content")
    proto.ClearField("float_val")
    proto.float_val.extend(values)
    assert grpc_codec._values(proto) == tf.make_ndarray(proto).tolist()


TENSORS = {
    "strings": (Tensor("DT_STRING", ["é", ""]), np.array(["é".encode(), b""], object)),
    "floats": (Tensor("DT_FLOAT", [0.1, 2.0]), np.array([0.1, 2], np.float32)),
    "ints": (Tensor("DT_INT32", [-1, 2]), np.array([-1, 2], np.int32)),
    "longs": (Tensor("DT_INT64", [-(2**63)]), np.array([-(2**63)], np.int64)),
    "state": (Tensor("DT_FLOAT", [[1.0, 2.0, 3.0]]), np.array([[1, 2, 3]], np.float32)),
}


@pytest.mark.parametrize("case", TENSORS)
def test_inputs_are_what_tensorflow_reads(case: str) -> None:
    tensor, expected = TENSORS[case]
    request = grpc_codec.predict_request(Target("a", version=2), "generate", {"x": tensor})
    found = tf.make_ndarray(request.inputs["x"])
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    spec = request.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("a", 2, "generate")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tensor_content": b"123"}, "The server sent 3 bytes for a tensor of DT_FLOAT and shape [2]."),
        ({"float_val": [1, 2, 3]}, "The server sent 3 values for a tensor of shape [2]."),
        ({"dtype": 14}, "The server sent a tensor of DT_BFLOAT16, which this client does not read."),
        ({"dtype": 7, "string_val": [b"\xff"]}, "The server sent a text that is not UTF-8: invalid start byte."),
    ],
    ids=["bytes", "values", "dtype", "text"],
)
def test_tensors_that_cannot_be_read_are_told(change: dict[str, Any], message: str) -> None:
    proto = tensor_pb2.TensorProto(**{"dtype": 1, "tensor_shape": tf.TensorShape([2]).as_proto(), **change})
    with pytest.raises(Internal) as caught:
        grpc_codec._values(proto)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (Target("a"), "/v1/models/a"),
        (Target("a/b ü"), "/v1/models/a%2Fb%20%C3%BC"),
        (Target("a", version=3), "/v1/models/a/versions/3"),
        (Target("a", label="c/d"), "/v1/models/a/labels/c%2Fd"),
    ],
    ids=["model", "quoted", "version", "label"],
)
def test_paths_name_the_model(target: Target, path: str) -> None:
    assert rest_codec.path_of(target) == path
