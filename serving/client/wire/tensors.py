"""Reads TensorProtos, of the wire or of JSON, into nested lists without TensorFlow.

Both codecs use it: gRPC for outputs and defaults, REST for the defaults in the metadata.
"""

import math
import struct
from collections.abc import Sequence
from itertools import islice
from typing import Any

from charflow.serving.errors import Internal

# The field of typed values, how `tensor_content` packs them (little-endian), and the value of what is left out.
LAYOUTS: dict[str, tuple[str, str, Any]] = {
    "DT_FLOAT": ("float_val", "f", 0.0),
    "DT_DOUBLE": ("double_val", "d", 0.0),
    "DT_INT32": ("int_val", "i", 0),
    "DT_INT64": ("int64_val", "q", 0),
    "DT_BOOL": ("bool_val", "?", False),
    "DT_STRING": ("string_val", "", ""),
}


def field_of(dtype: str) -> str:
    """Names the field of a TensorProto that holds the values of a dtype.

    Raises:
        Internal: none of charflow's signatures has this dtype.
    """
    if dtype not in LAYOUTS:
        raise Internal(f"The server sent a tensor of {dtype}, which this client does not read.")
    return LAYOUTS[dtype][0]


def nested(dtype: str, shape: Sequence[int], values: Sequence[Any], content: bytes) -> Any:
    """Lays the values of a tensor out in its shape.

    Args:
        dtype: a key of LAYOUTS.
        shape: every dimension.
        values: of the typed field. Fewer than the shape holds: the last one is repeated; none: zeros.
        content: `tensor_content`; used if it is not empty.

    Returns:
        Lists as deep as the shape; a plain value for a scalar.

    >>> nested("DT_FLOAT", (2, 2), [0.5], b"")
    [[0.5, 0.5], [0.5, 0.5]]

    Raises:
        Internal: the values do not fill the shape.
    """
    _, letter, zero = LAYOUTS[dtype]
    size = math.prod(shape)
    if content and letter:
        if len(content) != size * struct.calcsize(f"<{letter}"):
            raise Internal(f"The server sent {len(content)} bytes for a tensor of {dtype} and shape {list(shape)}.")
        flat = list(struct.unpack(f"<{size}{letter}", content))
    else:
        flat = list(values)
        if len(flat) > size:
            raise Internal(f"The server sent {len(flat)} values for a tensor of shape {list(shape)}.")
        flat += [flat[-1] if flat else zero] * (size - len(flat))
    return _nest(iter(flat), shape)


def text_of(value: bytes) -> str:
    """Decodes a string of a tensor.

    Raises:
        Internal: it is not UTF-8.
    """
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Internal(f"The server sent a text that is not UTF-8: {error.reason}.") from None


def _nest(flat: Any, shape: Sequence[int]) -> Any:
    if not shape:
        return next(flat)
    if len(shape) == 1:
        return list(islice(flat, shape[0]))
    return [_nest(flat, shape[1:]) for _ in range(shape[0])]
