import math
import time

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from charflow.serving.embedded.rest import tensor_texts
from charflow.serving.errors import InvalidArgument


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1 / 3, "0.33333334"),
        (3.0, "3.0"),
        (9_000_000.0, "9e+06"),
        (555557.5, "555557.5"),
        (-0.0, "-0.0"),
        (1e-45, "1e-45"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
    ],
)
def test_format_floats_is_short_and_never_an_integer(value: float, text: str) -> None:
    assert tensor_texts.format_floats(np.array([value], np.float32)) == [text]


def written_by_numpy(array: np.ndarray) -> list[str]:
    """The oracle: how all floats were written once, and how they are to look."""
    non_finite = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return [non_finite.get(text, text) for text in array.astype(np.str_).tolist()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=200)
@given(data=st.data())
def test_floats_are_written_as_numpy_writes_them(dtype: type, data: st.DataObject) -> None:
    array = data.draw(arrays.arrays(dtype, st.integers(0, 40)))
    assert tensor_texts.format_floats(array) == written_by_numpy(array)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_of_all_sizes_are_written_as_numpy_writes_them(dtype: type) -> None:
    random = np.random.default_rng(0)
    bits = random.integers(0, 256, [40_000, np.dtype(dtype).itemsize], np.uint8).view(dtype).ravel()
    usual = np.float64(10) ** random.uniform(-6, 8, 20_000)
    edges = np.array([1e-4, 1e6], dtype)
    edges = np.concatenate([edges, np.nextafter(edges, dtype(0)), np.nextafter(edges, dtype(1e9))])
    with np.errstate(invalid="ignore"):  # the cast of a signalling NaN
        array = np.concatenate([bits, usual, -usual, usual.round(1), edges, -edges]).astype(dtype)
    assert tensor_texts.format_floats(array) == written_by_numpy(array)
    assert tensor_texts.format_floats(array[::-2]) == written_by_numpy(array[::-2])


@pytest.mark.parametrize(
    ("array", "text"),
    [
        pytest.param(np.array([[0.1], [2]]), "[[0.1], [2.0]]", id="double"),
        pytest.param(np.array(5, np.int16), "5", id="scalar"),
        pytest.param(np.array([True, False]), "[true, false]", id="bool"),
        pytest.param(np.zeros([2, 0, 3], np.int32), "[[], []]", id="empty-inside"),
        pytest.param(np.zeros([0, 2], np.int32), "[]", id="empty"),
        pytest.param(np.array([b'a"\n\x00', "é".encode()], np.object_), '["a\\"\\n\\u0000", "é"]', id="string"),
        pytest.param(np.array([b"ab", b"c"]), '["ab", "c"]', id="fixed-length-string"),
    ],
)
def test_format_tensor_writes(array: np.ndarray, text: str) -> None:
    assert tensor_texts.format_tensor(array, as_base64=False) == text


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(tf.half, "half"), (tf.bfloat16, "bfloat16"), (tf.complex64, "complex64"), (tf.uint16, "uint16")],
)
def test_format_tensor_refuses_dtype(dtype: tf.DType, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"Failed to write JSON value for tensor type: {name}"):
        tensor_texts.format_tensor(np.zeros([1], dtype.as_numpy_dtype), as_base64=False)


def test_format_tensor_is_quick() -> None:
    floats = np.random.default_rng(0).random(200_000, np.float32)
    start = time.process_time()
    tensor_texts.format_tensor(floats, as_base64=False)
    assert time.process_time() - start < 0.4  # 1e6 floats in 2 s; it takes a tenth of that
