"""Writes requests of TensorFlow Serving's gRPC protocol and reads the answers, as the protos of `wire.proto`."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError
from grpc import StatusCode

from charflow.serving.client.arguments import Tensor
from charflow.serving.client.results import ModelMetadata, Signature, TensorInfo
from charflow.serving.client.wire.tensors import field_of, nested, text_of
from charflow.serving.client.wire.transport import Target
from charflow.serving.errors import Internal
from charflow.serving.protos import wire_pb2
from charflow.serving.version_status import VersionStatus

_SIGNATURES = "signature_def"
_CODES = {code.value[0]: code.name for code in StatusCode}


def predict_request(target: Target, signature: str, inputs: Mapping[str, Tensor]) -> wire_pb2.PredictRequest:
    """Asks for all outputs of a signature."""
    return wire_pb2.PredictRequest(
        model_spec=_model_spec(target, signature),
        inputs={name: _tensor_proto(tensor) for name, tensor in inputs.items()},
    )


def outputs_of(response: wire_pb2.PredictResponse) -> dict[str, Any]:
    """Reads the outputs as nested lists by name.

    Raises:
        Internal: a tensor cannot be read.
    """
    return {name: _values(proto) for name, proto in response.outputs.items()}


def metadata_request(target: Target) -> wire_pb2.GetModelMetadataRequest:
    """Asks for the signatures."""
    return wire_pb2.GetModelMetadataRequest(model_spec=_model_spec(target), metadata_field=[_SIGNATURES])


def metadata_of(response: wire_pb2.GetModelMetadataResponse) -> ModelMetadata:
    """Reads the signatures.

    Raises:
        Internal: there are none, or a default cannot be read.
    """
    packed = response.metadata[_SIGNATURES]
    if packed.TypeName() != "tensorflow.serving.SignatureDefMap":
        raise Internal("The server sent metadata without signatures.")
    try:
        signatures = wire_pb2.SignatureDefMap.FromString(packed.value)
    except DecodeError as error:
        raise Internal(f"The server sent signatures that cannot be read: {error}.") from error
    return ModelMetadata(
        name=response.model_spec.name,
        version=response.model_spec.version.value,
        signatures={
            name: Signature(
                inputs={key: _info(info) for key, info in proto.inputs.items()},
                outputs={key: _info(info) for key, info in proto.outputs.items()},
                defaults={key: _values(value) for key, value in proto.defaults.items()},
            )
            for name, proto in signatures.signature_def.items()
        },
    )


def status_request(target: Target) -> wire_pb2.GetModelStatusRequest:
    """Asks for the states of the versions."""
    return wire_pb2.GetModelStatusRequest(model_spec=_model_spec(target))


def statuses_of(response: wire_pb2.GetModelStatusResponse) -> list[VersionStatus]:
    """Reads the states of the versions."""
    states = wire_pb2.ModelVersionStatus.State
    return [
        VersionStatus(
            version=each.version,
            state=states.Name(each.state),
            code=_CODES.get(each.status.error_code, "UNKNOWN"),
            message=each.status.error_message,
        )
        for each in response.model_version_status
    ]


def _model_spec(target: Target, signature: str = "") -> wire_pb2.ModelSpec:
    spec = wire_pb2.ModelSpec(name=target.model, signature_name=signature)
    if target.version is not None:
        spec.version.value = target.version
    if target.label is not None:
        spec.version_label = target.label
    return spec


def _tensor_proto(tensor: Tensor) -> wire_pb2.TensorProto:
    deep = isinstance(tensor.rows[0], list)
    shape = [len(tensor.rows), len(tensor.rows[0])] if deep else [len(tensor.rows)]
    flat = [value for row in tensor.rows for value in row] if deep else tensor.rows
    values = [text.encode() for text in flat] if tensor.dtype == "DT_STRING" else flat
    proto = wire_pb2.TensorProto(
        dtype=wire_pb2.DataType.Value(tensor.dtype),
        tensor_shape=wire_pb2.TensorShapeProto(dim=[wire_pb2.TensorShapeProto.Dim(size=size) for size in shape]),
    )
    getattr(proto, field_of(tensor.dtype)).extend(values)
    return proto


def _values(proto: wire_pb2.TensorProto) -> Any:
    dtype = _dtype(proto)
    values = getattr(proto, field_of(dtype))
    if dtype == "DT_STRING":
        values = [text_of(value) for value in values]
    return nested(dtype, [dim.size for dim in proto.tensor_shape.dim], values, proto.tensor_content)


def _info(proto: wire_pb2.TensorInfo) -> TensorInfo:
    dimensions = tuple(None if dim.size < 0 else dim.size for dim in proto.tensor_shape.dim)
    return TensorInfo(dtype=_dtype(proto), shape=None if proto.tensor_shape.unknown_rank else dimensions)


def _dtype(proto: wire_pb2.TensorProto | wire_pb2.TensorInfo) -> str:
    number = proto.dtype
    return wire_pb2.DataType.Name(number) if number in wire_pb2.DataType.values() else f"data type {number}"
