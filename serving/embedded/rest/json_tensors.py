"""Turns JSON values into NumPy arrays, by the rules of TensorFlow Serving's `util/json_tensor.cc`.

`bodies` asks here for the array of each input; `tensor_texts` writes the other way. Arrays are read whole lists at a
time: one value is only looked at by itself to say what is wrong with it.
"""

import binascii
import itertools
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from charflow.serving.embedded.core.signature import MAX_RANK
from charflow.serving.errors import InvalidArgument, Unimplemented

T = TypeVar("T")
Json = Any
"""What `json` parses: None, bool, int, float, str, list or dict."""

_SHOWN = 256  # characters of a value in an error
_CHUNK = 8192  # values read at once: that holds the interpreter's lock, so the server stands still meanwhile
_TYPE_NAMES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
_CONSTANT_NAMES = {None: "Null", True: "True", False: "False"}
_DTYPE_NAMES = {tf.float32: "float", tf.float64: "double", tf.float16: "half"}
INTEGERS = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint32, tf.uint64)
_WHITESPACE = {ord(character): None for character in " \t\r\n\v\f"}


def read_tensor(value: Json, dtype: tf.DType) -> np.ndarray:
    """Reads a value, or lists of values nested to any depth, as one tensor.

    `read_tensor([[1, 2], [3, 4]], tf.int32)` is an int32 array of shape [2, 2], and
    `read_tensor({"b64": "aGk="}, tf.string)` an object array of shape [] that holds `b"hi"`.

    Raises:
        InvalidArgument: the lists are ragged, a value is of another type or out of the dtype's range, base64 is wrong.
        Unimplemented: JSON has no values of this dtype.
    """
    leaves, shape = _flatten(value)
    return _read_leaves(leaves, dtype).reshape(shape)


def read_rows(rows: list[Json], dtype: tf.DType, place: str = "") -> np.ndarray:
    """Reads a list of tensors of one shape as their stack: the first dimension is their number.

    `place` says in errors where in an element the tensor is, such as ` key: prompt`.

    Raises:
        InvalidArgument: as in `read_tensor`, or the shapes differ; names the first element at fault.
        Unimplemented: JSON has no values of this dtype.
    """
    try:
        return read_tensor(rows, dtype)
    except InvalidArgument as error:
        number = _first_fault(rows, dtype)
        try:
            _check_shape(read_tensor(rows[number], dtype).shape, read_tensor(rows[0], dtype).shape)
        except InvalidArgument as fault:
            raise InvalidArgument(
                f"Failed to process element: {number}{place} of 'instances' list. "
                f"Error: INVALID_ARGUMENT: {fault.message}"
            ) from error
        raise


def is_base64(value: Json) -> bool:
    """Whether an object stands for bytes: `{"b64": "<text>"}` with no other key."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def read_base64(value: Json) -> bytes:
    """Reads `{"b64": "<text>"}`. Whitespace is skipped; padding may be missing, but not be wrong.

    Raises:
        InvalidArgument: it is another object, or the text is not base64.
    """
    if not is_base64(value):
        raise InvalidArgument(f"JSON Value: {show(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error, or characters beyond ASCII
        return _read_loose_base64(text)


def type_name(value: Json) -> str:
    """What JSON calls the type of a value."""
    return _TYPE_NAMES.get(type(value)) or _CONSTANT_NAMES[value]


def show(value: Json) -> str:
    """The start of a value's text, for errors."""
    text = ""
    for part in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        text += part
        if len(text) > _SHOWN:
            return f"{text[:_SHOWN]}…"
    return text


def _read_loose_base64(text: str) -> bytes:
    text = text.translate(_WHITESPACE)
    digits = text.rstrip("=")
    padding = -len(digits) % 4
    if len(text) - len(digits) not in (0, padding):
        raise InvalidArgument(f"Unable to base64 decode {show(text)}: the padding is wrong")
    try:
        return binascii.a2b_base64(digits + "=" * padding, strict_mode=True)
    except ValueError as error:
        raise InvalidArgument(f"Unable to base64 decode {show(text)}: {error}") from None


def _flatten(value: Json) -> tuple[list[Json], tuple[int, ...]]:
    """Takes nested lists apart, level by level: the values, and the shape that the first of each level gives."""
    shape: list[int] = []
    first = value
    while type(first) is list:
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    rank = len(shape)
    if rank > MAX_RANK:
        raise InvalidArgument(f"JSON Value: {show(value)} has lists nested {rank} deep, more than {MAX_RANK}")
    items = [value]
    for level, size in enumerate(shape):
        if _kinds(type, items) != {list}:
            odd = next(item for item in items if type(item) is not list)
            raise InvalidArgument(f"JSON Value: {show(odd)} found at incorrect level: {level + 1}, expected {rank + 1}")
        if _kinds(len, items) != {size}:
            odd_size = next(len(item) for item in items if len(item) != size)
            raise InvalidArgument(
                f"Encountered list at unexpected size: {odd_size} at level: {level} expected size: {size}"
            )
        items = [item for piece in _pieces(items) for item in itertools.chain.from_iterable(piece)]
    if list in _kinds(type, items):
        raise InvalidArgument(f"Encountered list at unexpected level: {rank} expected < {rank}")
    return items, tuple(shape)


def _first_fault(rows: list[Json], dtype: tf.DType) -> int:
    """The number of the first row that cannot be stacked on those before it, by bisection: row by row takes seconds."""
    good, bad = 0, len(rows)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            read_tensor([rows[0], *rows[good:middle]], dtype)
        except InvalidArgument:
            bad = middle
        else:
            good = middle
    return good


def _check_shape(found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if math.prod(found) != math.prod(expected):
        raise InvalidArgument(f"Expecting tensor size: {math.prod(expected)} but got: {math.prod(found)}")
    if found != expected:
        raise InvalidArgument(f"Expecting shape {list(expected)} but got: {list(found)}")


def _read_leaves(leaves: list[Json], dtype: tf.DType) -> np.ndarray:
    if dtype == tf.string:
        return _read_strings(leaves)
    if dtype in (tf.float32, tf.float64):
        return _read_floats(leaves, dtype)
    if dtype in INTEGERS:
        return _read_integers(leaves, dtype)
    if dtype == tf.bool:
        _check_types(leaves, {bool}, dtype)
        return _array(leaves, np.bool_)
    raise Unimplemented(f"Conversion of JSON Value: {show(leaves[:1])} to type: {json_dtype_name(dtype)}")


def _read_floats(leaves: list[Json], dtype: tf.DType) -> np.ndarray:
    _check_types(leaves, {int, float}, dtype)
    try:
        values = _array(leaves, np.float64)
    except OverflowError:
        raise InvalidArgument("JSON Value: an integer is too big to be stored in double") from None
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, as in TensorFlow Serving
        return values.astype(dtype.as_numpy_dtype)


def _read_integers(leaves: list[Json], dtype: tf.DType) -> np.ndarray:
    _check_types(leaves, {int}, dtype)
    try:
        return _array(leaves, dtype.as_numpy_dtype)
    except OverflowError:
        odd = next(leaf for leaf in leaves if not dtype.min <= leaf <= dtype.max)
        raise _wrong_type(odd, dtype, f" from {dtype.min} to {dtype.max}") from None


def _read_strings(leaves: list[Json]) -> np.ndarray:
    kinds = _check_types(leaves, {str, dict}, tf.string)
    if dict in kinds:
        return _array([leaf.encode() if type(leaf) is str else read_base64(leaf) for leaf in leaves], np.object_)
    return _array([leaf.encode() for leaf in leaves], np.object_)


def _array(leaves: list[Any], dtype: Any) -> np.ndarray:
    array = np.empty(len(leaves), dtype)
    start = 0
    for piece in _pieces(leaves):
        array[start : start + len(piece)] = np.array(piece, dtype)
        start += len(piece)
    return array


def _kinds(kind: Callable[[Json], T], items: list[Json]) -> set[T]:
    """What `kind` gives for the items, each once."""
    return {found for piece in _pieces(items) for found in set(map(kind, piece))}


def _pieces(items: list[Json]) -> Iterator[list[Json]]:
    """Cuts a list up: between two pieces other threads run, which a call over millions of items would keep waiting."""
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


def _check_types(leaves: list[Json], allowed: set[type], dtype: tf.DType) -> set[type]:
    kinds = _kinds(type, leaves)
    if not kinds <= allowed:
        raise _wrong_type(next(leaf for leaf in leaves if type(leaf) not in allowed), dtype)
    return kinds


def _wrong_type(value: Json, dtype: tf.DType, range_: str = "") -> InvalidArgument:
    return InvalidArgument(
        f"JSON Value: {show(value)} Type: {type_name(value)} is not of expected type: {json_dtype_name(dtype)}{range_}"
    )


def json_dtype_name(dtype: tf.DType) -> str:
    """Names a type as TensorFlow Serving's errors of JSON do."""
    return _DTYPE_NAMES.get(dtype, dtype.name)
