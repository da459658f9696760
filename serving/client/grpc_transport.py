"""Carries one request over gRPC, blocking or for asyncio, with the official stubs.

`grpc_codec` writes and reads the messages; this module keeps the connection and turns statuses into errors.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import grpc.aio
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from charflow.serving.client import grpc_codec as codec
from charflow.serving.client.arguments import Tensor
from charflow.serving.client.results import ModelMetadata, VersionStatus
from charflow.serving.client.tls import Tls
from charflow.serving.client.transport import Target, unreachable
from charflow.serving.errors import ServingError, error_of

_LARGEST_MESSAGE = 2**31 - 1  # bytes: what TensorFlow Serving allows; gRPC's own limit is 4 MB
_OPTIONS = (
    ("grpc.max_send_message_length", _LARGEST_MESSAGE),
    ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
    # `retry` says when to try again. gRPC's own pauses, of 1 s and more, would answer those tries from memory.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
# What gRPC itself says where no server was reached, and what it means; any other UNAVAILABLE is a server's.
_UNREACHED = re.compile("failed to connect to all addresses|errors? resolving|DNS resolution failed")
_CAUSES = (
    (re.compile("Connection refused"), "connection refused"),
    (re.compile("errors? resolving|DNS resolution failed"), "unknown host"),
    (re.compile("handshak|certificate|SSL", re.IGNORECASE), "the TLS handshake failed"),
)


class _Stubs:
    """The methods of a channel."""

    def __init__(self, channel: Any) -> None:
        prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.predict: Callable[..., Any] = prediction.Predict
        self.metadata: Callable[..., Any] = prediction.GetModelMetadata
        self.status: Callable[..., Any] = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus


class _GrpcTransport(ABC):
    """All but the waiting."""

    def __init__(self, address: str, tls: Tls | None) -> None:
        self._address = address
        self._credentials = _credentials(tls) if tls else None
        name = tls.server_name if tls else None
        self._options = [*_OPTIONS, *([("grpc.ssl_target_name_override", name)] if name else [])]

    async def predict(
        self, target: Target, signature: str, inputs: Mapping[str, Tensor], timeout: float
    ) -> Mapping[str, Any]:
        request = codec.predict_request(target, signature, inputs)
        return codec.outputs_of(await self._call(self._stubs.predict, request, timeout))

    async def metadata(self, target: Target, timeout: float) -> ModelMetadata:
        request = codec.metadata_request(target)
        return codec.metadata_of(await self._call(self._stubs.metadata, request, timeout))

    async def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        request = codec.status_request(target)
        return codec.statuses_of(await self._call(self._stubs.status, request, timeout))

    @property
    @abstractmethod
    def _stubs(self) -> _Stubs: ...

    @abstractmethod
    async def _call(self, method: Callable[..., Any], request: Any, timeout: float) -> Any: ...

    def _channel(self, library: Any) -> Any:
        if self._credentials:
            return library.secure_channel(self._address, self._credentials, options=self._options)
        return library.insecure_channel(self._address, options=self._options)

    def _error(self, error: grpc.RpcError) -> ServingError:
        details = error.details() or ""
        if error.code() is grpc.StatusCode.UNAVAILABLE and _UNREACHED.search(details):
            causes = (cause for pattern, cause in _CAUSES if pattern.search(details))
            return unreachable(self._address, next(causes, details.rpartition("last error: ")[2]))
        return error_of(
            error.code().name, details or f"{self._address} answered {error.code().name} without a message."
        )


class GrpcTransport(_GrpcTransport):
    """Blocks: its coroutines never wait, so that `Client` can run them without a loop."""

    def __init__(self, address: str, tls: Tls | None) -> None:
        super().__init__(address, tls)
        self._open = self._channel(grpc)
        self._methods = _Stubs(self._open)

    @property
    def _stubs(self) -> _Stubs:
        return self._methods

    async def _call(self, method: Callable[..., Any], request: Any, timeout: float) -> Any:
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise self._error(error) from error

    async def close(self) -> None:
        self._open.close()


class AsyncGrpcTransport(_GrpcTransport):
    """Waits in the running loop; a channel of grpc.aio belongs to one, so the first call opens it."""

    def __init__(self, address: str, tls: Tls | None) -> None:
        super().__init__(address, tls)
        self._open: Any = None
        self._methods: _Stubs | None = None

    @property
    def _stubs(self) -> _Stubs:
        if self._methods is None:
            self._open = self._channel(grpc.aio)
            self._methods = _Stubs(self._open)
        return self._methods

    async def _call(self, method: Callable[..., Any], request: Any, timeout: float) -> Any:
        try:
            return await method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise self._error(error) from error

    async def close(self) -> None:
        if self._open is not None:
            await self._open.close()


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    tls.context()  # gRPC would take files that are no certificates, and fail at the first call
    return grpc.ssl_channel_credentials(
        root_certificates=tls.roots(), private_key=tls.read(tls.key), certificate_chain=tls.read(tls.cert)
    )
