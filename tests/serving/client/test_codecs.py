"""Tensors and messages against TensorFlow's own readings, in the bytes that go over the wire."""

import json
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from charflow.serving import Internal, VersionStatus
from charflow.serving.client.arguments import Tensor
from charflow.serving.client.wire import grpc_codec, rest_codec
from charflow.serving.client.wire.transport import Target
from charflow.serving.protos import wire_pb2

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


def over_the_wire(message: Message, kind: type[Message]) -> Any:
    """What the other side makes of a message."""
    return kind.FromString(message.SerializeToString())


def read(proto: Message) -> Any:
    """What the client makes of a TensorProto of TensorFlow."""
    return grpc_codec._values(over_the_wire(proto, wire_pb2.TensorProto))


def typed(array: np.ndarray) -> Any:
    """The tensor in its typed field, as TensorFlow Serving answers; `tf.make_tensor_proto` packs the bytes."""
    proto = tf.make_tensor_proto(array)
    values = tf.make_ndarray(proto).ravel().tolist()
    proto.ClearField("tensor_content")
    field = grpc_codec.field_of(types_pb2.DataType.Name(proto.dtype))
    proto.ClearField(field)
    getattr(proto, field).extend(values)
    return proto


@pytest.mark.parametrize("form", ["packed", "typed"])
@pytest.mark.parametrize("case", ARRAYS)
def test_tensors_are_read_as_tensorflow_reads_them(case: str, form: str) -> None:
    array = ARRAYS[case]
    proto = tf.make_tensor_proto(array) if form == "packed" else typed(array)
    assert read(proto) == array.tolist()
    written = MessageToDict(proto, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    found = rest_codec._values(json.loads(json.dumps(written)))
    assert np.array(found, array.dtype).tolist() == array.tolist()  # JSON has the shortest digits of a float32


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.25]], ids=["none", "one", "two"])
def test_values_left_out_repeat_the_last(values: list[float]) -> None:
    proto = tf.make_tensor_proto(np.zeros([2, 2], np.float32))
    proto.ClearField("tensor_content")
    proto.ClearField("float_val")
    proto.float_val.extend(values)
    assert read(proto) == tf.make_ndarray(proto).tolist()


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
    sent = grpc_codec.predict_request(Target("a", version=2), "generate", {"x": tensor})
    request = over_the_wire(sent, predict_pb2.PredictRequest)
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
        ({"dtype": 101}, "The server sent a tensor of data type 101, which this client does not read."),
        ({"dtype": 7, "string_val": [b"\xff"]}, "The server sent a text that is not UTF-8: invalid start byte."),
    ],
    ids=["bytes", "values", "dtype", "reference", "text"],
)
def test_tensors_that_cannot_be_read_are_told(change: dict[str, Any], message: str) -> None:
    proto = tensor_pb2.TensorProto(**{"dtype": 1, "tensor_shape": tf.TensorShape([2]).as_proto(), **change})
    with pytest.raises(Internal) as caught:
        read(proto)
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


NAMES = st.text(min_size=1, max_size=5)
TARGETS = st.one_of(
    st.builds(Target, NAMES),
    st.builds(Target, NAMES, version=st.integers(0, 2**63 - 1)),
    st.builds(Target, NAMES, label=st.text(max_size=5)),
)
VALUES = {
    "DT_STRING": st.text(max_size=5),
    "DT_INT32": st.integers(-(2**31), 2**31 - 1),
    "DT_INT64": st.integers(-(2**63), 2**63 - 1),
    "DT_FLOAT": st.floats(width=32, allow_nan=False),
}


@st.composite
def inputs(draw: st.DrawFn) -> dict[str, Tensor]:
    def tensor(dtype: str) -> Tensor:
        row = VALUES[dtype] if dtype != "DT_FLOAT" or draw(st.booleans()) else st.tuples(*[VALUES[dtype]] * 3).map(list)
        return Tensor(dtype, draw(st.lists(row, min_size=1, max_size=3)))

    return {name: tensor(dtype) for name, dtype in draw(st.dictionaries(NAMES, st.sampled_from([*VALUES]))).items()}


def exact(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


@settings(max_examples=50)
@given(TARGETS, NAMES, inputs())
def test_requests_are_those_of_the_official_protos(target: Target, signature: str, given: dict[str, Tensor]) -> None:
    requests = [
        (grpc_codec.predict_request(target, signature, given), predict_pb2.PredictRequest),
        (grpc_codec.metadata_request(target), get_model_metadata_pb2.GetModelMetadataRequest),
        (grpc_codec.status_request(target), get_model_status_pb2.GetModelStatusRequest),
    ]
    for ours, official in requests:
        received = over_the_wire(ours, official)
        assert not list(UnknownFieldSet(received))
        assert exact(received) == exact(ours)
    found = over_the_wire(requests[0][0], predict_pb2.PredictRequest)
    for name, tensor in given.items():
        values = tf.make_ndarray(found.inputs[name]).tolist()
        plain = [value.decode() if isinstance(value, bytes) else value for value in values]
        assert plain == tensor.rows
    assert found.model_spec.name == target.model


@settings(max_examples=50)
@given(NAMES, st.integers(0, 2**63 - 1), st.dictionaries(NAMES, st.sampled_from([*ARRAYS])))
def test_answers_of_the_official_protos_are_read(name: str, version: int, cases: dict[str, str]) -> None:
    answer = predict_pb2.PredictResponse(
        outputs={key: tf.make_tensor_proto(ARRAYS[case]) for key, case in cases.items()}
    )
    ours = over_the_wire(answer, wire_pb2.PredictResponse)
    assert exact(over_the_wire(ours, predict_pb2.PredictResponse)) == exact(answer)
    assert grpc_codec.outputs_of(ours) == {key: ARRAYS[case].tolist() for key, case in cases.items()}

    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, case in cases.items():
        signature = signatures.signature_def[key]
        signature.method_name = "tensorflow/serving/predict"
        signature.defaults["x"].CopyFrom(tf.make_tensor_proto(ARRAYS[case]))
        signature.inputs["x"].CopyFrom(
            meta_graph_pb2.TensorInfo(
                name="x:0",
                dtype=tf.as_dtype(ARRAYS[case].dtype).as_datatype_enum,
                tensor_shape=tf.TensorShape([None, *ARRAYS[case].shape[1:]]).as_proto(),
            )
        )
    described = get_model_metadata_pb2.GetModelMetadataResponse()
    described.model_spec.name, described.model_spec.version.value = name, version
    described.metadata["signature_def"].Pack(signatures)
    metadata = grpc_codec.metadata_of(over_the_wire(described, wire_pb2.GetModelMetadataResponse))
    assert (metadata.name, metadata.version) == (name, version)
    assert {key: found.defaults["x"] for key, found in metadata.signatures.items()} == {
        key: ARRAYS[case].tolist() for key, case in cases.items()
    }
    for key, found in metadata.signatures.items():
        assert found.inputs["x"].shape == (None, *ARRAYS[cases[key]].shape[1:])
        assert found.inputs["x"].dtype == types_pb2.DataType.Name(signatures.signature_def[key].inputs["x"].dtype)


def test_metadata_of_another_kind_is_told() -> None:
    answer = get_model_metadata_pb2.GetModelMetadataResponse()
    answer.metadata["signature_def"].Pack(answer)
    with pytest.raises(Internal, match=r"^The server sent metadata without signatures\.$"):
        grpc_codec.metadata_of(over_the_wire(answer, wire_pb2.GetModelMetadataResponse))
    answer.metadata["signature_def"].Pack(get_model_metadata_pb2.SignatureDefMap())
    answer.metadata["signature_def"].value = b"\xff"
    with pytest.raises(Internal, match=r"^The server sent signatures that cannot be read: .+\.$"):
        grpc_codec.metadata_of(over_the_wire(answer, wire_pb2.GetModelMetadataResponse))


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**63 - 1),
            st.sampled_from(get_model_status_pb2.ModelVersionStatus.State.keys()),
            st.sampled_from(grpc.StatusCode),
            st.text(max_size=9),
        )
    )
)
def test_states_of_the_official_protos_are_read(states: list[tuple[int, str, grpc.StatusCode, str]]) -> None:
    answer = get_model_status_pb2.GetModelStatusResponse()
    for version, state, code, message in states:
        answer.model_version_status.add(version=version, state=state)
        answer.model_version_status[-1].status.error_code = code.value[0]
        answer.model_version_status[-1].status.error_message = message
    found = grpc_codec.statuses_of(over_the_wire(answer, wire_pb2.GetModelStatusResponse))
    assert found == [VersionStatus(version, state, code.name, message) for version, state, code, message in states]
