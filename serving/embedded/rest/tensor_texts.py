"""Writes NumPy arrays as JSON, by the rules of TensorFlow Serving's `util/json_tensor.cc`.

`answers` asks here for the text of each output; `json_tensors` reads the other way.
"""

import base64
import json
import math

import numpy as np
import orjson
import tensorflow as tf

from charflow.serving.embedded.rest.json_tensors import INTEGERS, json_dtype_name
from charflow.serving.errors import InvalidArgument

_CHUNK = 8192  # values written at once: that holds the interpreter's lock, so the server stands still meanwhile
# Between these orjson writes a float as NumPy does, many times as fast; beyond, the one writes zeros and the other an
# exponent, and what JSON has no word for is null to orjson.
_SMALLEST, _BEYOND = 1e-4, 1e6
_NON_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}

_encode_string = json.JSONEncoder(ensure_ascii=False).encode


def format_rows(array: np.ndarray, *, as_base64: bool) -> list[str]:
    """The JSON text of each item along the first dimension of a tensor of rank 1 or more.

    `format_rows(np.array([[1, 2], [3, 4]]), as_base64=False)` is `["[1, 2]", "[3, 4]"]`.

    Raises:
        InvalidArgument: JSON has no values of this dtype.
    """
    texts = _format_leaves(array.reshape(-1), as_base64)
    for axis in range(array.ndim - 1, 0, -1):
        size = array.shape[axis]
        lists = math.prod(array.shape[:axis])
        texts = ["[" + ", ".join(texts[i * size : (i + 1) * size]) + "]" for i in range(lists)]
    return texts


def format_tensor(array: np.ndarray, *, as_base64: bool) -> str:
    """The JSON text of a tensor; `as_base64` writes bytes as `{"b64": …}`, else they are written as they are.

    The text is to be encoded with `surrogateescape`: bytes that are not UTF-8 then come out unchanged.

    Raises:
        InvalidArgument: JSON has no values of this dtype.
    """
    if array.ndim == 0:
        return _format_leaves(array.reshape(1), as_base64)[0]
    return "[" + ", ".join(format_rows(array, as_base64=as_base64)) + "]"


def format_string(text: str) -> str:
    """The JSON text of a string."""
    return _encode_string(text)


def format_floats(array: np.ndarray) -> list[str]:
    """The shortest decimal that reads back as the same number, with a point or an exponent, for each of [n] floats."""
    texts: list[str] = []
    for start in range(0, len(array), _CHUNK):
        texts += _format_chunk(np.ascontiguousarray(array[start : start + _CHUNK]))
    return texts


def _format_chunk(array: np.ndarray) -> list[str]:
    """Writes the values by orjson, and by NumPy those that it writes in another way."""
    texts = orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode().split(",")
    sizes = np.abs(array)
    others = np.flatnonzero(~((sizes > _SMALLEST) & (sizes < _BEYOND) | (sizes == 0)))
    for place, text in zip(others.tolist(), array[others].astype(np.str_).tolist(), strict=True):
        texts[place] = _NON_FINITE.get(text, text)
    return texts


def _format_leaves(array: np.ndarray, as_base64: bool) -> list[str]:
    """The JSON text of each of [n] values."""
    if array.dtype.kind in "OS":
        return list(map(_format_base64 if as_base64 else _format_bytes, array.tolist()))
    dtype = tf.dtypes.as_dtype(array.dtype)
    if dtype in (tf.float32, tf.float64):
        return format_floats(array)
    if dtype in INTEGERS:
        return list(map(str, array.tolist()))
    if dtype == tf.bool:
        return ["true" if value else "false" for value in array.tolist()]
    raise InvalidArgument(f"Failed to write JSON value for tensor type: {json_dtype_name(dtype)}")


def _format_base64(value: bytes) -> str:
    return f'{{"b64": "{base64.b64encode(value).decode()}"}}'


def _format_bytes(value: bytes) -> str:
    return _encode_string(value.decode("utf-8", "surrogateescape"))
