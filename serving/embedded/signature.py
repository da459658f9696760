"""What a SavedModel's signature takes and gives.

`servable` reads them from the MetaGraph; the core checks requests against them; the REST door reads JSON by their
dtypes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """An input or output of a signature.

    Attributes:
        tensor: its name in the graph, such as `x:0`.
        dtype: its type.
        shape: its dimensions, None where unknown; None for an unknown rank. Requests are not checked against it.
    """

    tensor: str
    dtype: tf.DType
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A signature by its parts, in the order of their names.

    Attributes:
        name: its key in the SavedModel.
        inputs: by the name a request uses.
        outputs: by the name an answer uses.
        defaults: values of the inputs a request may leave out.
        method: the method name it was saved with; not enforced.
    """

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    defaults: Mapping[str, np.ndarray]
    method: str


def read_signature(name: str, proto: meta_graph_pb2.SignatureDef) -> Signature:
    """Reads a signature from its proto."""
    return Signature(
        name=name,
        inputs={key: _spec(proto.inputs[key]) for key in sorted(proto.inputs)},
        outputs={key: _spec(proto.outputs[key]) for key in sorted(proto.outputs)},
        defaults={key: tf.make_ndarray(proto.defaults[key]) for key in sorted(proto.defaults)},
        method=proto.method_name,
    )


def _spec(info: meta_graph_pb2.TensorInfo) -> TensorSpec:
    dimensions = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(
        tensor=info.name,
        dtype=tf.dtypes.as_dtype(info.dtype),
        shape=None if info.tensor_shape.unknown_rank else dimensions,
    )
