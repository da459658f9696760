"""Carries one request over gRPC, blocking or for asyncio.

`methods` names what is called and `grpc_codec` writes and reads the messages; this module keeps the connection and
turns statuses into errors.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import grpc.aio

from charflow.serving.client.arguments import Tensor
from charflow.serving.client.results import ModelMetadata
from charflow.serving.client.wire import grpc_codec as codec
from charflow.serving.client.wire.methods import Methods
from charflow.serving.client.wire.tls import Tls
from charflow.serving.client.wire.transport import Target, Unreachable, unreachable
from charflow.serving.client.wire.trouble import Trouble, certificate_trouble
from charflow.serving.errors import ServingError, error_of
from charflow.serving.version_status import VersionStatus

_LARGEST_MESSAGE = 2**31 - 1  # bytes: what TensorFlow Serving allows; gRPC's own limit is 4 MB
_OPTIONS = (
    ("grpc.max_send_message_length", _LARGEST_MESSAGE),
    ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
    # `retry` says when to try again. gRPC's own pauses, of 1 s and more, would answer those tries from memory.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),  # straight to the server, as over REST
)
# What gRPC itself says where no server was reached, and what it means; any other UNAVAILABLE is a server's.
_UNREACHED = re.compile("failed to connect to all addresses|errors? resolving|DNS resolution failed")
_CERTIFICATE = re.compile("(?:CERTIFICATE_VERIFY_FAILED: |check failed with error: [A-Z_]+: )(.*?)(?:: OK)?$")
_TROUBLES = (
    (re.compile("Connection refused"), Trouble.NO_SERVER, "connection refused"),
    (re.compile("errors? resolving|DNS resolution failed"), Trouble.NO_SERVER, "unknown host"),
    (re.compile(r"http1\.x server|missing selected ALPN"), Trouble.REST_ANSWERS, ""),
    (re.compile("WRONG_VERSION_NUMBER"), Trouble.NO_TLS, ""),
    (re.compile("handshak|certificate|SSL", re.IGNORECASE), Trouble.HANDSHAKE, ""),
)
_HUNG_UP = re.compile("Socket closed|Connection reset|Broken pipe")


class _GrpcTransport(ABC):
    """All but the waiting."""

    def __init__(self, address: str, tls: Tls | None) -> None:
        self._address = address
        self._tls = tls
        self._credentials = credentials(tls) if tls else None

    async def predict(
        self, target: Target, signature: str, inputs: Mapping[str, Tensor], timeout: float
    ) -> Mapping[str, Any]:
        request = codec.predict_request(target, signature, inputs)
        return codec.outputs_of(await self._call(self._methods.predict, request, timeout))

    async def metadata(self, target: Target, timeout: float) -> ModelMetadata:
        request = codec.metadata_request(target)
        return codec.metadata_of(await self._call(self._methods.metadata, request, timeout))

    async def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        request = codec.status_request(target)
        return codec.statuses_of(await self._call(self._methods.status, request, timeout))

    @property
    @abstractmethod
    def _methods(self) -> Methods: ...

    @abstractmethod
    async def _call(self, method: Callable[..., Any], request: Any, timeout: float) -> Any: ...

    def _channel(self, library: Any) -> Any:
        return _open(library, self._address, self._tls, self._credentials)

    def _error(self, error: grpc.RpcError) -> ServingError:
        details = error.details() or ""
        if unreached := unreached_of(error, self._address, tls=self._tls is not None):
            return unreached
        return error_of(
            error.code().name, details or f"{self._address} answered {error.code().name} without a message."
        )


class GrpcTransport(_GrpcTransport):
    """Blocks: its coroutines never wait, so that `Client` can run them without a loop."""

    def __init__(self, address: str, tls: Tls | None) -> None:
        super().__init__(address, tls)
        self._open = self._channel(grpc)
        self._made = Methods(self._open)

    @property
    def _methods(self) -> Methods:
        return self._made

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
        self._made: Methods | None = None

    @property
    def _methods(self) -> Methods:
        if self._made is None:
            self._open = self._channel(grpc.aio)
            self._made = Methods(self._open)
        return self._made

    async def _call(self, method: Callable[..., Any], request: Any, timeout: float) -> Any:
        try:
            return await method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise self._error(error) from error

    async def close(self) -> None:
        if self._open is not None:
            await self._open.close()


def unreached_of(error: grpc.RpcError, address: str, *, tls: bool) -> Unreachable | None:
    """Makes the error of a server that was not reached; None if a server answered."""
    details = error.details() or ""
    if error.code() is not grpc.StatusCode.UNAVAILABLE or not _UNREACHED.search(details):
        return None
    if found := _CERTIFICATE.search(details):
        return unreachable(address, certificate_trouble(found[1]), found[1].rstrip("."))
    for pattern, trouble, cause in _TROUBLES:
        if pattern.search(details):
            return unreachable(address, trouble, cause)
    if _HUNG_UP.search(details):
        return unreachable(address, Trouble.GRPC_TLS_HANGS_UP if tls else Trouble.PLAIN_HANGS_UP)
    return unreachable(address, Trouble.NO_SERVER, details.rpartition("last error: ")[2])


def open_channel(address: str, tls: Tls | None) -> grpc.Channel:
    """Opens a blocking channel with the settings of the clients.

    Raises:
        ArgumentError: a file is no PEM certificate or key, or they do not belong together.
        OSError: a file cannot be read.
    """
    channel: grpc.Channel = _open(grpc, address, tls, credentials(tls) if tls else None)
    return channel


def _open(library: Any, address: str, tls: Tls | None, given: grpc.ChannelCredentials | None) -> Any:
    name = [("grpc.ssl_target_name_override", tls.server_name)] if tls and tls.server_name else []
    options = [*_OPTIONS, *name]
    if given:
        return library.secure_channel(address, given, options=options)
    return library.insecure_channel(address, options=options)


def credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Reads the certificates for a channel.

    Raises:
        ArgumentError: a file is no PEM certificate or key, or they do not belong together.
        OSError: a file cannot be read.
    """
    tls.context()  # gRPC would take files that are no certificates, and fail at the first call
    return grpc.ssl_channel_credentials(
        root_certificates=tls.roots(), private_key=tls.read(tls.key), certificate_chain=tls.read(tls.cert)
    )
