import json
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from charflow.serving.embedded.rest import json_tensors, tensor_texts
from charflow.serving.errors import InvalidArgument, Unimplemented

NUMBERS = (tf.float32, tf.float64, *json_tensors.INTEGERS)
SHAPES = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        pytest.param([[1, 2], [3, 4]], tf.int32, np.array([[1, 2], [3, 4]], np.int32), id="nested"),
        pytest.param(7, tf.int64, np.array(7, np.int64), id="scalar"),
        pytest.param([1, 2.5], tf.float32, np.array([1, 2.5], np.float32), id="mixed-numbers"),
        pytest.param([1435774380], tf.float32, np.array([1435774380.0], np.float32), id="float-rounds"),
        pytest.param([1e300, -1e300], tf.float32, np.array([np.inf, -np.inf], np.float32), id="float-overflows"),
        pytest.param([math.inf], tf.float64, np.array([np.inf]), id="infinity"),
        pytest.param([True, False], tf.bool, np.array([True, False]), id="bool"),
        pytest.param([2**64 - 1], tf.uint64, np.array([2**64 - 1], np.uint64), id="uint64"),
        pytest.param([], tf.float32, np.zeros([0], np.float32), id="empty"),
        pytest.param([[], []], tf.int8, np.zeros([2, 0], np.int8), id="empty-inside"),
    ],
)
def test_read_tensor_reads_values(value: object, dtype: tf.DType, expected: np.ndarray) -> None:
    tensor = json_tensors.read_tensor(value, dtype)
    assert tensor.dtype == expected.dtype
    np.testing.assert_array_equal(tensor, expected)


def test_read_tensor_reads_strings_and_base64_as_bytes() -> None:
    tensor = json_tensors.read_tensor([["é", {"b64": "/wA="}]], tf.string)
    assert tensor.tolist() == [["é".encode(), b"\xff\x00"]]
    assert tensor.dtype == np.object_


def test_read_tensor_keeps_a_long_prompt() -> None:
    prompt = "я" * 5_000_000
    assert json_tensors.read_tensor([prompt], tf.string)[0] == prompt.encode()


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        pytest.param("x", tf.float32, 'JSON Value: "x" Type: String is not of expected type: float', id="string"),
        pytest.param([None], tf.float64, "JSON Value: null Type: Null is not of expected type: double", id="null"),
        pytest.param([1, True], tf.float32, "Type: True is not of expected type: float", id="bool-for-float"),
        pytest.param([False], tf.int32, "Type: False is not of expected type: int32", id="bool-for-integer"),
        pytest.param([1], tf.bool, "Type: Number is not of expected type: bool", id="number-for-bool"),
        pytest.param([1.0], tf.int32, "JSON Value: 1.0 Type: Number is not of expected type: int32", id="float"),
        pytest.param([math.nan], tf.int32, "JSON Value: NaN Type: Number is not of expected", id="nan-for-integer"),
        pytest.param([1, 128], tf.int8, "JSON Value: 128 Type: Number is not of expected type: int8 from", id="int8"),
        pytest.param([-1], tf.uint64, "is not of expected type: uint64 from 0", id="negative"),
        pytest.param([2**63], tf.int64, "is not of expected type: int64 from", id="int64"),
        pytest.param([10**400], tf.float64, "too big", id="huge-for-float"),
        pytest.param([1], tf.string, "JSON Value: 1 Type: Number is not of expected type: string", id="number"),
        pytest.param({"b64": "aGk="}, tf.float32, "Type: Object is not of expected type: float", id="object"),
        pytest.param([{"x": 1}], tf.string, "not formatted correctly for base64 data", id="other-object"),
        pytest.param([{"b64": 1}], tf.string, "not formatted correctly for base64 data", id="base64-number"),
        pytest.param([{"b64": "a*b="}], tf.string, "Unable to base64 decode", id="base64-letters"),
        pytest.param([{"b64": "é"}], tf.string, "Unable to base64 decode", id="base64-beyond-ascii"),
        pytest.param([{"b64": "aGk=="}], tf.string, "padding is wrong", id="base64-padding"),
        pytest.param([{"b64": "aGkhh"}], tf.string, "Unable to base64 decode", id="base64-length"),
        pytest.param([[1, 2], [3]], tf.int32, "unexpected size: 1 at level: 1 expected size: 2", id="ragged"),
        pytest.param([[1], 2], tf.int32, "JSON Value: 2 found at incorrect level", id="value-for-list"),
        pytest.param([1, [2]], tf.int32, "Encountered list at unexpected level: 1", id="list-for-value"),
        pytest.param(json.loads("[" * 65 + "]" * 65), tf.int32, "nested 65 deep", id="rank"),
    ],
)
def test_read_tensor_refuses(value: object, dtype: tf.DType, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        json_tensors.read_tensor(value, dtype)
    assert message in caught.value.message


@pytest.mark.parametrize("dtype", [tf.half, tf.bfloat16, tf.complex64, tf.complex128, tf.uint16, tf.qint8], ids=str)
def test_read_tensor_does_not_know_dtype(dtype: tf.DType) -> None:
    with pytest.raises(Unimplemented, match="Conversion of JSON Value"):
        json_tensors.read_tensor([1.0], dtype)


@pytest.mark.parametrize(
    "text", ["aGVsbG8=", "aGVsbG8", "aGVs\nbG8=\n", " aGVsbG8 "], ids=["padded", "bare", "lines", "spaces"]
)
def test_read_base64_reads(text: str) -> None:
    assert json_tensors.read_base64({"b64": text}) == b"hello"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [[1, 2], [3, 4], [5, 6, 7]],
            "element: 2 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2",
        ),
        ([[1, 2], [3, 4], [[5, 6]]], "element: 2 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [2]"),
        ([1, [1]], "element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [] but got: [1]"),
        ([[1, 2], ["a", "b"]], "element: 1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"a\" Type"),
        ([[[1], 2], [3, 4]], "element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 2 found at"),
        ([1] * 999 + [2**31], "element: 999 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 2147483648"),
    ],
    ids=["size", "shape", "rank", "type", "ragged-row", "range-in-last"],
)
def test_read_rows_names_the_element_at_fault(rows: list[object], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        json_tensors.read_rows(rows, tf.int32)
    assert f"Failed to process {message}" in caught.value.message


@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: dtype.name)
@settings(max_examples=30)
@given(data=st.data())
def test_tensors_survive_json(dtype: tf.DType, data: st.DataObject) -> None:
    tensor = data.draw(npst.arrays(dtype.as_numpy_dtype, SHAPES))
    text = tensor_texts.format_tensor(tensor, as_base64=False)
    read = json_tensors.read_tensor(json.loads(text), dtype)
    assert read.dtype == tensor.dtype
    if 0 in tensor.shape:  # the dimensions after an empty one are not in the text
        assert read.shape == tensor.shape[: tensor.shape.index(0) + 1]
    else:
        np.testing.assert_array_equal(read, tensor)


@settings(max_examples=50)
@given(st.lists(st.binary(), max_size=5), st.booleans())
def test_strings_survive_json(values: list[bytes], as_base64: bool) -> None:
    text = tensor_texts.format_tensor(np.array(values, np.object_), as_base64=as_base64)
    if as_base64:
        read = json_tensors.read_tensor(json.loads(text), tf.string).tolist()
    else:  # bytes that are no UTF-8 are written as they are
        sent = text.encode("utf-8", "surrogateescape")
        read = [word.encode("utf-8", "surrogateescape") for word in json.loads(sent.decode("utf-8", "surrogateescape"))]
    assert read == values


@settings(max_examples=50)
@given(npst.arrays(np.float32, npst.array_shapes(max_dims=3), elements=st.floats(width=32)))
def test_read_tensor_equals_numpy(tensor: np.ndarray) -> None:
    np.testing.assert_array_equal(json_tensors.read_tensor(tensor.tolist(), tf.float32), tensor)


def test_show_cuts_a_long_value() -> None:
    assert len(json_tensors.show(["x" * 1000] * 1000)) < 300
