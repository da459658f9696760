"""The methods of TensorFlow Serving's two gRPC services that charflow calls, with the messages of `wire.proto`."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from charflow.serving.protos import wire_pb2 as wire

_PREDICTIONS, _MODELS = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"


class Methods:
    """What can be called on a channel.

    Attributes:
        predict: runs a signature.
        metadata: reads signatures.
        status: reads the states of the versions.
        reload: replaces the server's configuration.

    Each takes a request and `timeout` in seconds and returns the answer; on a channel of grpc.aio it is awaited.
    """

    def __init__(self, channel: Any) -> None:
        def method(service: str, name: str, request: type[Message], answer: type[Message]) -> Callable[..., Any]:
            call: Callable[..., Any] = channel.unary_unary(
                f"/{service}/{name}",
                request_serializer=request.SerializeToString,
                response_deserializer=answer.FromString,
            )
            return call

        self.predict = method(_PREDICTIONS, "Predict", wire.PredictRequest, wire.PredictResponse)
        self.metadata = method(
            _PREDICTIONS, "GetModelMetadata", wire.GetModelMetadataRequest, wire.GetModelMetadataResponse
        )
        self.status = method(_MODELS, "GetModelStatus", wire.GetModelStatusRequest, wire.GetModelStatusResponse)
        self.reload = method(_MODELS, "HandleReloadConfigRequest", wire.ReloadConfigRequest, wire.ReloadConfigResponse)
