"""What a SavedModel's signature takes and gives, and which tensors it lets in.

`servable` reads them from the MetaGraph; `inference` and the doors check requests against them before anything native
sees a tensor; the REST door reads JSON by their dtypes.
"""

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from charflow.serving.errors import InvalidArgument

MAX_RANK = 32  # TensorFlow's conversion of texts to and from NumPy ends the process beyond; NumPy itself has 64
_SENDABLE = frozenset(tf.dtypes.DType(number) for number in types_pb2.DataType.values() if 0 < number < 100) - {
    tf.resource,
    tf.variant,
}
_NAMED = 20  # inputs that an error lists


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """An input or output of a signature.

    Attributes:
        tensor: its name in the graph, such as `x:0`.
        dtype: its type.
        shape: its dimensions, None where unknown; None for an unknown rank.
    """

    tensor: str
    dtype: tf.DType
    shape: tuple[int | None, ...] | None

    @functools.cached_property
    def plain_rank(self) -> int | None:
        """Of the tensors that may be fed whatever else they are; None where there is more to look at."""
        known = self.shape is not None and len(self.shape) <= MAX_RANK and self.dtype in _SENDABLE
        return len(self.shape) if known and self.shape is not None else None

    def takes_rank(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape may be fed.

        Its rank is the signature's. As TensorFlow Serving documents it for `half_plus_two`, dimensions of size 1 at the
        end of the signature's shape may be missing: [n] for [-1, 1].
        """
        if self.shape is None:
            return True
        return len(shape) <= len(self.shape) and all(size == 1 for size in self.shape[len(shape) :])

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether every dimension is as the signature has it."""
        return self.shape is None or (
            len(shape) == len(self.shape)
            and all(own in (None, size) for own, size in zip(self.shape, shape, strict=True))
        )


@dataclass(frozen=True, kw_only=True)
class ServedSignature:
    """A signature by its parts, in the order of their names.

    Attributes:
        name: its key in the SavedModel.
        inputs: by the name a request uses.
        outputs: by the name an answer uses.
        defaults: values of the inputs a request may leave out.
    """

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    defaults: Mapping[str, np.ndarray]

    def check_names(self, given: Collection[str]) -> None:
        """Checks that a request has the inputs of the signature.

        Raises:
            InvalidArgument: one is missing that has no default, or unknown.
        """
        expected = set(self.inputs)
        missing, extra = expected - set(given), set(given) - expected
        if len(given) > len(expected) or (len(given) < len(expected) and not self.defaults):
            raise InvalidArgument(
                f"input size does not match signature: {len(given)}!={len(expected)} "
                f"len({name_set(given)}) != len({name_set(expected)}). "
                f"Sent extra: {name_set(extra)}. Missing but required: {name_set(missing)}."
            )
        if extra:
            raise InvalidArgument(
                f"input tensor alias not found in signature: {min(extra)}. "
                f"Inputs expected to be in the set {name_set(expected)}."
            )
        if without := missing - set(self.defaults):
            raise InvalidArgument(
                f"inputs missing that have no default: {name_set(without)}. "
                f"Inputs expected to be in the set {name_set(expected)}."
            )

    def check_tensor(self, name: str, dtype: tf.DType, shape: tuple[int, ...]) -> None:
        """Checks that a tensor may be fed to an input, before its values are looked at.

        Other dimensions than the signature's go on to the model, as in TensorFlow Serving; see `describe_misfits`.

        Raises:
            InvalidArgument: its type is another, the signature excludes its rank, or nothing here takes so many
                dimensions.
        """
        spec = self.inputs[name]
        if dtype is spec.dtype and len(shape) == spec.plain_rank:
            return
        if dtype != spec.dtype:
            raise InvalidArgument(
                f"input {name} must be {dtype_name(spec.dtype)}, but the request has {dtype_name(dtype)}."
            )
        if dtype not in _SENDABLE:
            raise InvalidArgument(f"input {name} is {dtype_name(dtype)}, whose values cannot be sent.")
        if len(shape) > MAX_RANK:
            raise InvalidArgument(f"input {name} has {len(shape)} dimensions, more than {MAX_RANK}.")
        if not spec.takes_rank(shape):
            raise InvalidArgument(
                f"input {name} must have shape {_show_shape(spec.shape)}, but the request has {_show_shape(shape)}."
            )

    def describe_misfits(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Says which inputs have dimensions that the signature does not, or unequal numbers of rows; "" for none."""
        misfits = {name for name, shape in shapes.items() if not self.inputs[name].fits(shape)}
        if not misfits and len({shape[:1] for shape in shapes.values()}) <= 1:
            return ""
        named = [
            f"{name} {_show_shape(shape)}" + (f" for {_show_shape(self.inputs[name].shape)}" if name in misfits else "")
            for name, shape in sorted(shapes.items(), key=lambda item: (item[0] not in misfits, item[0]))
        ]
        more = f", and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        return "shapes of the inputs: " + ", ".join(named[:_NAMED]) + more


@functools.cache
def dtype_of(dtype: object) -> tf.DType:
    """TensorFlow's type by NumPy's or by its number; texts are objects.

    Raises:
        TypeError: there is none.
    """
    return tf.string if isinstance(dtype, np.dtype) and dtype.kind == "O" else tf.dtypes.as_dtype(dtype)


def name_set(names: Collection[str]) -> str:
    """Names as TensorFlow Serving lists them."""
    return "{" + ",".join(sorted(names)) + "}"


def dtype_name(dtype: tf.DType) -> str:
    """Names a type as protos do: DT_STRING."""
    return types_pb2.DataType.Name(dtype.as_datatype_enum)


def _show_shape(shape: tuple[int | None, ...] | None) -> str:
    return str([-1 if size is None else size for size in shape or ()])


def read_signature(name: str, proto: meta_graph_pb2.SignatureDef) -> ServedSignature:
    """Reads a signature from its proto."""
    return ServedSignature(
        name=name,
        inputs={key: _spec(proto.inputs[key]) for key in sorted(proto.inputs)},
        outputs={key: _spec(proto.outputs[key]) for key in sorted(proto.outputs)},
        defaults={key: tf.make_ndarray(proto.defaults[key]) for key in sorted(proto.defaults)},
    )


def _spec(info: meta_graph_pb2.TensorInfo) -> TensorSpec:
    dimensions = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(
        tensor=info.name,
        dtype=tf.dtypes.as_dtype(info.dtype),
        shape=None if info.tensor_shape.unknown_rank else dimensions,
    )
