"""Writes requests of TensorFlow Serving's gRPC protocol and reads the answers, as protos built by hand.

The protos bring TensorFlow along, so this module is imported for gRPC only; the REST client stays free of it.
"""

from collections.abc import Mapping
from typing import Any

from grpc import StatusCode
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from charflow.serving.client.arguments import Tensor
from charflow.serving.client.results import ModelMetadata, Signature, TensorInfo, VersionStatus
from charflow.serving.client.wire.tensors import field_of, nested, text_of
from charflow.serving.client.wire.transport import Target
from charflow.serving.errors import Internal

_SIGNATURES = "signature_def"
_CODES = {code.value[0]: code.name for code in StatusCode}


def predict_request(target: Target, signature: str, inputs: Mapping[str, Tensor]) -> predict_pb2.PredictRequest:
    """Asks for all outputs of a signature."""
    return predict_pb2.PredictRequest(
        model_spec=_model_spec(target, signature),
        inputs={name: _tensor_proto(tensor) for name, tensor in inputs.items()},
    )


def outputs_of(response: predict_pb2.PredictResponse) -> dict[str, Any]:
    """Reads the outputs as nested lists by name.

    Raises:
        Internal: a tensor cannot be read.
    """
    return {name: _values(proto) for name, proto in response.outputs.items()}


def metadata_request(target: Target) -> get_model_metadata_pb2.GetModelMetadataRequest:
    """Asks for the signatures."""
    return get_model_metadata_pb2.GetModelMetadataRequest(model_spec=_model_spec(target), metadata_field=[_SIGNATURES])


def metadata_of(response: get_model_metadata_pb2.GetModelMetadataResponse) -> ModelMetadata:
    """Reads the signatures.

    Raises:
        Internal: there are none, or a default cannot be read.
    """
    signatures = get_model_metadata_pb2.SignatureDefMap()
    if not response.metadata[_SIGNATURES].Unpack(signatures):
        raise Internal("The server sent metadata without signatures.")
    return ModelMetadata(
        name=response.model_spec.name,
        version=response.model_spec.version.value,
        signatures={
            name: Signature(
                inputs={key: _info(info) for key, info in proto.inputs.items()},
                outputs={key: _info(info) for key, info in proto.outputs.items()},
                defaults={key: _values(value) for key, value in proto.defaults.items()},
                method=proto.method_name,
            )
            for name, proto in signatures.signature_def.items()
        },
    )


def status_request(target: Target) -> get_model_status_pb2.GetModelStatusRequest:
    """Asks for the states of the versions."""
    return get_model_status_pb2.GetModelStatusRequest(model_spec=_model_spec(target))


def statuses_of(response: get_model_status_pb2.GetModelStatusResponse) -> list[VersionStatus]:
    """Reads the states of the versions."""
    states = get_model_status_pb2.ModelVersionStatus.State
    return [
        VersionStatus(
            version=each.version,
            state=states.Name(each.state),
            code=_CODES.get(each.status.error_code, "UNKNOWN"),
            message=each.status.error_message,
        )
        for each in response.model_version_status
    ]


def _model_spec(target: Target, signature: str = "") -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=target.model, signature_name=signature)
    if target.version is not None:
        spec.version.value = target.version
    if target.label is not None:
        spec.version_label = target.label
    return spec


def _tensor_proto(tensor: Tensor) -> tensor_pb2.TensorProto:
    deep = isinstance(tensor.rows[0], list)
    shape = [len(tensor.rows), len(tensor.rows[0])] if deep else [len(tensor.rows)]
    flat = [value for row in tensor.rows for value in row] if deep else tensor.rows
    values = [text.encode() for text in flat] if tensor.dtype == "DT_STRING" else flat
    return tensor_pb2.TensorProto(
        dtype=types_pb2.DataType.Value(tensor.dtype),
        tensor_shape=tensor_shape_pb2.TensorShapeProto(
            dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in shape]
        ),
        **{field_of(tensor.dtype): values},
    )


def _values(proto: tensor_pb2.TensorProto) -> Any:
    dtype = types_pb2.DataType.Name(proto.dtype)
    values = getattr(proto, field_of(dtype))
    if dtype == "DT_STRING":
        values = [text_of(value) for value in values]
    return nested(dtype, [dim.size for dim in proto.tensor_shape.dim], values, proto.tensor_content)


def _info(proto: Any) -> TensorInfo:
    dimensions = tuple(None if dim.size < 0 else dim.size for dim in proto.tensor_shape.dim)
    return TensorInfo(
        dtype=types_pb2.DataType.Name(proto.dtype), shape=None if proto.tensor_shape.unknown_rank else dimensions
    )
