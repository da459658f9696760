"""Converts between the protos of a call and NumPy arrays, for the gRPC door and the warm-up."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import input_pb2, model_pb2

from charflow.serving.embedded.core.signature import ServedSignature, dtype_of
from charflow.serving.embedded.core.spec import ModelSpec
from charflow.serving.errors import InvalidArgument

_FIELDS = {  # typed field of TensorProto by type, for those whose values it holds one by one
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int32: "int_val",
    tf.int16: "int_val",
    tf.int8: "int_val",
    tf.uint8: "int_val",
    tf.uint16: "int_val",
    tf.string: "string_val",
    tf.int64: "int64_val",
    tf.bool: "bool_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
}
_PLAIN = {  # by the number of the type: the field, and NumPy's type of its values
    dtype.as_datatype_enum: (_FIELDS[dtype], object if dtype == tf.string else dtype.as_numpy_dtype)
    for dtype in (tf.float32, tf.float64, tf.int32, tf.int64, tf.bool, tf.string)
}
_COMPLEX_FIELDS = {tf.complex64: "scomplex_val", tf.complex128: "dcomplex_val"}  # two numbers a value
_LARGEST_FILL = 2**26  # bytes of a request's values that are not in it: the last one sent stands for all that follow
_TEXT_BYTES = 32  # of a text in memory besides its characters: NumPy's pointer, TensorFlow's string


def to_arrays(protos: Mapping[str, tensor_pb2.TensorProto], signature: ServedSignature) -> dict[str, np.ndarray]:
    """Reads the inputs of a request, after the signature let their names, types and ranks in.

    Raises:
        InvalidArgument: it did not, or one is no tensor, or few values stand for too many.
    """
    signature.check_names(protos)
    given = [(name, proto, tuple([dim.size for dim in proto.tensor_shape.dim])) for name, proto in protos.items()]
    for name, proto, shape in given:
        signature.check_tensor(name, _dtype(name, proto), shape)
    plain = {name: _read_plain(proto, shape) for name, proto, shape in given}
    filled = {name: _filled_bytes(protos[name]) for name, array in plain.items() if array is None}
    if sum(filled.values()) > _LARGEST_FILL:
        raise InvalidArgument(
            f"tensor parsing error: {max(filled, key=lambda name: filled[name])}: the values that are left out would "
            f"fill {sum(filled.values())} bytes, more than {_LARGEST_FILL}: send every value of a large tensor"
        )
    return {name: to_array(name, protos[name]) if array is None else array for name, array in plain.items()}


def _read_plain(proto: tensor_pb2.TensorProto, shape: tuple[int, ...]) -> np.ndarray | None:
    """Reads a tensor whose values are all in their typed field, faster than what reads any; None for another."""
    field, dtype = _PLAIN.get(proto.dtype, ("", None))
    if not field or proto.tensor_content or proto.tensor_shape.unknown_rank:
        return None
    values = getattr(proto, field)[:]  # a list, which NumPy reads four times as fast
    if not values or len(values) != math.prod(shape) or min(shape, default=0) < 0:
        return None
    return np.array(values, dtype).reshape(shape)


def to_array(name: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Reads a tensor; texts become bytes in an object array.

    Raises:
        InvalidArgument: the proto is not a tensor: no type, an impossible shape, values that do not fill it.
    """
    dims = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in dims):
        raise InvalidArgument(f"tensor parsing error: {name}: its shape is not fully known")
    _dtype(name, proto)
    try:
        if _filled_bytes(proto) > _LARGEST_FILL:
            raise ValueError(f"few values cannot fill the shape {dims}")
        return np.asarray(tf.make_ndarray(proto)).reshape(dims)
    except (TypeError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise InvalidArgument(f"tensor parsing error: {name}: {error}") from error


def _dtype(name: str, proto: tensor_pb2.TensorProto) -> tf.DType:
    try:
        return dtype_of(proto.dtype)
    except TypeError as error:
        raise InvalidArgument(f"tensor parsing error: {name}: no type has the number {proto.dtype}") from error


def _filled_bytes(proto: tensor_pb2.TensorProto) -> int:
    """Bytes of the values that a tensor has and its proto does not."""
    dtype = tf.dtypes.as_dtype(proto.dtype)
    values = getattr(proto, _FIELDS.get(dtype) or _COMPLEX_FIELDS.get(dtype, "half_val"))
    present = len(values) // 2 if dtype in _COMPLEX_FIELDS else len(values)
    missing = math.prod(dim.size for dim in proto.tensor_shape.dim) - present
    if proto.tensor_content or missing <= 0:
        return 0
    if dtype == tf.string:
        return missing * (_TEXT_BYTES + (len(values[-1]) if values else 0))
    return missing * max(1, dtype.size or 1)


def to_proto(
    array: np.ndarray, *, as_content: bool = False, into: tensor_pb2.TensorProto | None = None
) -> tensor_pb2.TensorProto:
    """Writes a tensor into the typed fields, or as raw bytes with `as_content` where the type allows it.

    Args:
        array: the values.
        as_content: raw bytes.
        into: an empty proto to write to; a new one if None.
    """
    proto = tensor_pb2.TensorProto() if into is None else into
    dtype = dtype_of(array.dtype)
    raw = as_content and dtype != tf.string
    field = _FIELDS.get(dtype)
    if field is None and not raw:
        proto.CopyFrom(tf.make_tensor_proto(array))
        return proto
    proto.dtype = dtype.as_datatype_enum
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if raw:
        proto.tensor_content = array.tobytes()
    elif field:
        getattr(proto, field).extend(array.ravel().tolist())
    return proto


def to_spec(proto: model_pb2.ModelSpec) -> ModelSpec:
    """Reads whom a call is for.

    Raises:
        InvalidArgument: it names no model.
    """
    if not proto.name:
        raise InvalidArgument("Missing ModelSpec" if not proto.ByteSize() else "ModelSpec has no name specified")
    choice = proto.WhichOneof("version_choice")
    return ModelSpec(
        name=proto.name,
        version=proto.version.value if choice == "version" else None,
        label=proto.version_label if choice == "version_label" else None,
        signature=proto.signature_name,
    )


def to_examples(proto: input_pb2.Input) -> list[bytes]:
    """Serialises the examples of an Input; the context is put before each, so that an example's features win."""
    kind = proto.WhichOneof("kind")
    context = b""
    examples: Iterable = ()
    try:
        if kind == "example_list":
            examples = proto.example_list.examples
        elif kind == "example_list_with_context":
            examples = proto.example_list_with_context.examples
            context = proto.example_list_with_context.context.SerializeToString()
        return [context + example.SerializeToString() for example in examples]
    except DecodeError as error:
        raise InvalidArgument(f"Error parsing the examples: {error}") from error
