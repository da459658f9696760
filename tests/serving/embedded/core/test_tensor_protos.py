"""Tensors to protos and back, and protos that are no tensors."""

import resource
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import input_pb2, model_pb2

from charflow.serving import errors
from charflow.serving.embedded.core.signature import ServedSignature, TensorSpec, dtype_name
from charflow.serving.embedded.core.spec import ModelSpec
from charflow.serving.embedded.core.tensor_protos import to_array, to_arrays, to_examples, to_proto, to_spec

FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "int64": "int64_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "object": "string_val",
    "complex64": "",
    "complex128": "",
    "float16": "",
}
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
TENSORS = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda dtype: arrays.arrays(
        object if dtype == "object" else np.dtype(dtype),
        SHAPES,
        elements=st.binary(max_size=6) if dtype == "object" else None,
    )
)


def proto(dtype: int = types_pb2.DT_FLOAT, dims: tuple[int, ...] = (), **values: Any) -> tensor_pb2.TensorProto:
    made = tensor_pb2.TensorProto(dtype=dtype, **values)
    made.tensor_shape.SetInParent()
    for size in dims:
        made.tensor_shape.dim.add(size=size)
    return made


@settings(max_examples=300)
@given(tensor=TENSORS, as_content=st.booleans())
def test_round_trip_keeps_tensors(tensor: np.ndarray, as_content: bool) -> None:
    sent = tensor_pb2.TensorProto.FromString(to_proto(tensor, as_content=as_content).SerializeToString())
    received = to_array("x", sent)
    assert (received.dtype, received.shape) == (tensor.dtype, tensor.shape)
    np.testing.assert_array_equal(received, tensor)


@settings(max_examples=100)
@given(tensor=TENSORS)
def test_to_array_reads_what_tensorflows_clients_write(tensor: np.ndarray) -> None:
    np.testing.assert_array_equal(to_array("x", tf.make_tensor_proto(tensor)), tensor)


@settings(max_examples=300)
@given(tensor=TENSORS, as_content=st.booleans(), left_out=st.integers(0, 2))
def test_to_arrays_reads_as_what_reads_any_tensor(tensor: np.ndarray, as_content: bool, left_out: int) -> None:
    sent = to_proto(tensor, as_content=as_content)
    if (field := FIELDS[str(tensor.dtype)]) and not as_content:
        del getattr(sent, field)[max(1, tensor.size - left_out) :]  # the last one stands for those that follow
    slowly = to_array("x", sent)
    found = to_arrays({"x": sent}, signature_of(x=tf.dtypes.as_dtype(sent.dtype)))["x"]
    assert (found.dtype, found.shape, found.flags.writeable) == (slowly.dtype, slowly.shape, slowly.flags.writeable)
    np.testing.assert_array_equal(found, slowly)


@settings(max_examples=100)
@given(tensor=TENSORS, as_content=st.booleans())
def test_tensorflows_clients_read_what_to_proto_writes(tensor: np.ndarray, as_content: bool) -> None:
    np.testing.assert_array_equal(tf.make_ndarray(to_proto(tensor, as_content=as_content)), tensor)


@pytest.mark.parametrize(("dtype", "field"), [item for item in FIELDS.items() if item[1]], ids=lambda value: value)
def test_to_proto_fills_the_typed_field_or_the_content(dtype: str, field: str) -> None:
    tensor = np.array([b"a", b"b"], object) if dtype == "object" else np.array([0, 1], dtype)
    typed = to_proto(tensor)
    assert list(getattr(typed, field)) == tensor.tolist()
    assert typed.tensor_content == b""
    raw = to_proto(tensor, as_content=True)
    if dtype == "object":  # texts have no raw form that clients read
        assert list(raw.string_val) == [b"a", b"b"]
    else:
        assert (raw.tensor_content, len(getattr(raw, field))) == (tensor.tobytes(), 0)


def test_to_proto_writes_the_rows_of_a_transposed_array_in_order() -> None:
    assert list(to_proto(np.int32([[1, 2], [3, 4]]).T).int_val) == [1, 3, 2, 4]


def test_bfloat16_goes_both_ways() -> None:
    bfloat = np.array([1.5, -2], tf.bfloat16.as_numpy_dtype)
    np.testing.assert_array_equal(to_array("x", to_proto(bfloat)), bfloat)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (proto(dims=(2, 2), float_val=[7]), [[7, 7], [7, 7]]),
        (proto(dims=(4,), float_val=[1, 2]), [1, 2, 2, 2]),
        (proto(dims=(2,)), [0, 0]),
        (proto(types_pb2.DT_STRING, (2,), string_val=[b"a"]), [b"a", b"a"]),
        (proto(types_pb2.DT_BOOL, (2,), bool_val=[True]), [True, True]),
        (proto(types_pb2.DT_INT64, (3,), int64_val=[5]), [5, 5, 5]),
        (proto(types_pb2.DT_HALF, (2,), half_val=[15360]), [1, 1]),
        (proto(types_pb2.DT_FLOAT, (0, 3)), np.zeros([0, 3]).tolist()),
        (proto(types_pb2.DT_STRING, (), string_val=[b"a"]), b"a"),
    ],
    ids=["one", "last", "none", "text", "bool", "int64", "half", "empty", "scalar"],
)
def test_to_array_repeats_the_last_value(given_: tensor_pb2.TensorProto, expected: Any) -> None:
    assert to_array("x", given_).tolist() == expected


UNKNOWN_RANK = proto(float_val=[1])
UNKNOWN_RANK.tensor_shape.unknown_rank = True


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (proto(dims=(-1,), float_val=[1]), "its shape is not fully known"),
        (proto(dims=(2, -7), float_val=[1]), "its shape is not fully known"),
        (UNKNOWN_RANK, "its shape is not fully known"),
        (proto(dims=(3,), tensor_content=b"1234"), "cannot reshape"),
        (proto(dims=(1,), tensor_content=b"12345678"), "cannot reshape"),
        (proto(dims=(1,), tensor_content=b"123"), "buffer size must be a multiple"),
        (proto(dims=(2,), float_val=[1, 2, 3]), ""),
        (proto(types_pb2.DT_STRING, (1,), string_val=[b"a", b"b"]), "cannot reshape"),
        (proto(types_pb2.DT_STRING, (1,), tensor_content=b"abc"), ""),
        (proto(types_pb2.DT_INVALID, (1,)), "0"),
        (proto(9999, (1,), float_val=[1]), "9999"),
        (proto(types_pb2.DT_RESOURCE, (1,)), "20"),
        (proto(types_pb2.DT_VARIANT, (1,)), "21"),
        (proto(types_pb2.DT_FLOAT_REF, (1,), float_val=[1]), "101"),
        (proto(types_pb2.DT_INT8, (1,), int_val=[300]), "300"),
        (proto(types_pb2.DT_UINT16, (1,), int_val=[-1]), "-1"),
        (proto(dims=(1,) * 300, float_val=[1]), "300"),
        (proto(dims=(0, 2**62, 2**62)), "too big"),
    ],
    ids=[
        "unknown size",
        "negative size",
        "unknown rank",
        "content too short",
        "content too long",
        "torn content",
        "too many values",
        "too many texts",
        "content of texts",
        "no dtype",
        "unknown dtype",
        "resource",
        "variant",
        "reference",
        "over the range",
        "under the range",
        "too many dimensions",
        "overflow",
    ],
)
def test_to_array_refuses(bad: tensor_pb2.TensorProto, message: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"^tensor parsing error: prompt: .*{message}"):
        to_array("prompt", bad)


@pytest.mark.parametrize(
    "bad",
    [
        proto(dims=(2**26,), float_val=[1]),
        proto(dims=(2**40,), float_val=[1]),
        proto(dims=(2**31, 2**31, 2**31), float_val=[1]),
        proto(types_pb2.DT_STRING, (2**30,), string_val=[b"a"]),
        proto(types_pb2.DT_COMPLEX128, (2**28,), dcomplex_val=[1, 2]),
    ],
    ids=["256 MB", "4 TB", "over 64 bits", "texts", "complex"],
)
def test_to_array_does_not_allocate_a_shape_that_one_value_claims(bad: tensor_pb2.TensorProto) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(errors.InvalidArgument, match=r"^tensor parsing error: x: few values cannot fill the shape \["):
        to_array("x", bad)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


@pytest.mark.parametrize(
    ("dtype", "name"), [(tf.string, "DT_STRING"), (tf.float32, "DT_FLOAT"), (tf.int64, "DT_INT64")], ids=str
)
def test_dtype_name_is_that_of_protos(dtype: tf.DType, name: str) -> None:
    assert dtype_name(dtype) == name


def spec(**fields: Any) -> model_pb2.ModelSpec:
    made = model_pb2.ModelSpec(**{key: value for key, value in fields.items() if key != "version"})
    if "version" in fields:
        made.version.value = fields["version"]
        made.version.SetInParent()
    return made


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (spec(name="m"), ModelSpec(name="m")),
        (spec(name="m", signature_name="s"), ModelSpec(name="m", signature="s")),
        (spec(name="m", version=3), ModelSpec(name="m", version=3)),
        (spec(name="m", version=0), ModelSpec(name="m", version=0)),
        (spec(name="m", version_label="stable"), ModelSpec(name="m", label="stable")),
    ],
    ids=["name", "signature", "version", "version 0", "label"],
)
def test_to_spec_reads(given_: model_pb2.ModelSpec, expected: ModelSpec) -> None:
    assert to_spec(given_) == expected


@pytest.mark.parametrize(
    ("given_", "message"),
    [(spec(), "Missing ModelSpec"), (spec(version=3), "ModelSpec has no name specified")],
    ids=["nothing", "no name"],
)
def test_to_spec_refuses(given_: model_pb2.ModelSpec, message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        to_spec(given_)
    assert caught.value.message == message


def example(**features: float) -> tf.train.Example:
    made = tf.train.Example()
    for name, value in features.items():
        made.features.feature[name].float_list.value.append(value)
    return made


def test_to_examples_serialises_a_list() -> None:
    given_ = input_pb2.Input()
    given_.example_list.examples.extend([example(x=1), example(x=2)])
    assert [tf.train.Example.FromString(text) for text in to_examples(given_)] == [example(x=1), example(x=2)]


def test_to_examples_puts_the_context_into_each_and_lets_the_example_win() -> None:
    given_ = input_pb2.Input()
    given_.example_list_with_context.context.CopyFrom(example(x=9, country=7))
    given_.example_list_with_context.examples.extend([example(x=1), example(y=2)])
    kinds = {name: tf.io.FixedLenFeature([], tf.float32, default_value=-1.0) for name in ("x", "y", "country")}
    parsed = tf.io.parse_example(tf.constant(to_examples(given_)), kinds)
    assert {name: values.numpy().tolist() for name, values in parsed.items()} == {
        "x": [1, 9],
        "y": [-1, 2],
        "country": [7, 7],
    }


@pytest.mark.parametrize("kind", ["", "example_list", "example_list_with_context"])
def test_to_examples_gives_nothing_for_an_empty_input(kind: str) -> None:
    given_ = input_pb2.Input()
    if kind:
        getattr(given_, kind).SetInParent()
    assert to_examples(given_) == []


def signature_of(**dtypes: tf.DType) -> ServedSignature:
    specs = {name: TensorSpec(tensor=f"{name}:0", dtype=dtype, shape=None) for name, dtype in dtypes.items()}
    return ServedSignature(name="any", inputs=specs, outputs={}, defaults={})


@pytest.mark.parametrize(
    ("protos", "message"),
    [
        ({"x": proto(dims=(1,), float_val=[1]), "z": proto(dims=(2**40,))}, "Sent extra: {z}"),
        ({"x": proto(types_pb2.DT_STRING, dims=(2**40,))}, "input x must be DT_FLOAT, but the request has DT_STRING."),
        ({"x": proto(types_pb2.DT_FLOAT_REF, float_val=[1])}, "the request has DT_FLOAT_REF"),
        ({"x": proto(9999)}, "tensor parsing error: x: no type has the number 9999"),
        ({"x": proto(dims=(1,) * 33, float_val=[1])}, "input x has 33 dimensions, more than 32."),
        ({"x": proto(dims=(1,) * 100_000, float_val=[1])}, "input x has 100000 dimensions, more than 32."),
    ],
    ids=["name", "type", "reference", "no type", "rank", "huge rank"],
)
def test_to_arrays_reads_no_value_before_the_signature_let_the_tensor_in(protos: Any, message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        to_arrays(protos, signature_of(x=tf.float32))
    assert message in caught.value.message


@pytest.mark.parametrize(
    "fills",
    [
        {"x": proto(dims=(2**23,), float_val=[1]), "y": proto(dims=(2**23 + 3,), float_val=[1])},
        {"x": proto(dims=(1,), float_val=[1]), "t": proto(types_pb2.DT_STRING, (100,), string_val=[b"a" * 2**20])},
    ],
    ids=["two halves", "a long text"],
)
def test_to_arrays_bounds_what_few_values_stand_for_in_the_whole_request(fills: Any) -> None:
    with pytest.raises(
        errors.InvalidArgument,
        match=r"^tensor parsing error: [yt]: .* fill \d+ bytes, more than",
    ):
        to_arrays(fills, signature_of(**{name: tf.dtypes.as_dtype(value.dtype) for name, value in fills.items()}))


@pytest.mark.slow
def test_to_arrays_reads_values_that_are_all_there_however_many() -> None:
    whole = proto(dims=(2**25,), tensor_content=bytes(2**27))
    assert to_arrays({"x": whole}, signature_of(x=tf.float32))["x"].shape == (2**25,)
    parts = proto(types_pb2.DT_COMPLEX64, (2,), scomplex_val=[1, 2, 3, 4])
    assert to_arrays({"x": parts}, signature_of(x=tf.complex64))["x"].tolist() == [1 + 2j, 3 + 4j]
