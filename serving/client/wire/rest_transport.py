"""Carries one request over REST, blocking or for asyncio, with httpx.

`rest_codec` writes and reads the bodies; this module keeps the connections and the time.
"""

import asyncio
import socket
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from charflow.serving.client.arguments import Tensor
from charflow.serving.client.results import ModelMetadata
from charflow.serving.client.wire import rest_codec as codec
from charflow.serving.client.wire.tls import Tls
from charflow.serving.client.wire.transport import Target, unreachable
from charflow.serving.client.wire.trouble import Trouble, certificate_trouble
from charflow.serving.errors import DeadlineExceeded, ServingError, Unavailable
from charflow.serving.version_status import VersionStatus

_IDLE_SECONDS = 60.0  # that a connection is kept for another request: less than the server keeps it


class _RestTransport(ABC):
    """All but the waiting.

    Attributes:
        settings: of httpx, for both of its clients: none of its defaults is right here. Each request brings its own
            timeout; as many connections as calls; straight to the server, without the proxies and passwords that
            variables of the environment and .netrc name for the web.
    """

    def __init__(self, address: str, tls: Tls | None) -> None:
        self._address = address
        self._base = f"{'https' if tls else 'http'}://{address}"
        self._hung_up = Trouble.REST_TLS_HANGS_UP if tls else Trouble.PLAIN_HANGS_UP
        self._answered = False  # what has answered once speaks our protocol
        self.settings: dict[str, Any] = {
            "verify": tls.context() if tls else False,  # of plain HTTP: to load the authorities takes 20 ms
            "timeout": None,
            "limits": httpx.Limits(
                max_connections=None, max_keepalive_connections=None, keepalive_expiry=_IDLE_SECONDS
            ),
            "trust_env": False,
        }
        self._extensions = {"sni_hostname": tls.server_name} if tls and tls.server_name else {}

    async def predict(
        self, target: Target, signature: str, inputs: Mapping[str, Tensor], timeout: float
    ) -> Mapping[str, Any]:
        body = codec.predict_body(signature, inputs)
        answer = await self._exchange("POST", f"{codec.path_of(target)}:predict", body, timeout)
        return codec.outputs_of(answer)

    async def metadata(self, target: Target, timeout: float) -> ModelMetadata:
        return codec.metadata_of(await self._exchange("GET", f"{codec.path_of(target)}/metadata", None, timeout))

    async def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        return codec.statuses_of(await self._exchange("GET", codec.path_of(target), None, timeout))

    async def _exchange(self, method: str, path: str, body: bytes | None, timeout: float) -> bytes:
        url = f"{self._base}{path}"
        headers = {"Content-Type": "application/json"} if body is not None else {}
        request = httpx.Request(method, url, content=body, headers=headers, extensions=self._extensions)
        try:
            status, answer = await self._send(request, timeout)
        except (httpx.TimeoutException, TimeoutError) as error:
            raise DeadlineExceeded(f"{self._address}: no answer within {timeout:g} s.") from error
        except httpx.TransportError as error:
            raise self._error(error) from error
        self._answered = True
        if status != HTTPStatus.OK:
            raise codec.error_of_status(status, answer, self._address)
        return answer

    @abstractmethod
    async def _send(self, request: httpx.Request, timeout: float) -> tuple[int, bytes]: ...

    def _error(self, error: httpx.TransportError) -> ServingError:
        root = _root(error)
        connecting = isinstance(error, httpx.ConnectError)
        if isinstance(root, ssl.SSLError) and not isinstance(root, ssl.SSLEOFError) and not self._answered:
            return unreachable(self._address, *_tls_trouble(root))
        if connecting and not isinstance(root, (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError)):
            return unreachable(self._address, Trouble.NO_SERVER, _cause(root))
        if not self._answered and "illegal request line" in str(error):  # no text: frames of HTTP/2
            return unreachable(self._address, Trouble.GRPC_ANSWERS)
        if not self._answered and (isinstance(error, httpx.NetworkError) or "disconnected" in str(error)):
            return unreachable(self._address, self._hung_up)
        return Unavailable(f"{self._address}: the connection broke ({str(error).rstrip('.') or type(error).__name__}).")


class RestTransport(_RestTransport):
    """Blocks: its coroutines never wait, so that `Client` can run them without a loop."""

    def __init__(self, address: str, tls: Tls | None) -> None:
        super().__init__(address, tls)
        self._http = httpx.Client(**self.settings)

    async def _send(self, request: httpx.Request, timeout: float) -> tuple[int, bytes]:
        left = _TimeLeft(timeout)
        request.extensions = {**request.extensions, "timeout": left}
        response = self._http.send(request, stream=True)
        try:
            content = bytearray()
            for part in response.iter_bytes():
                content += part
                left.check()
        finally:
            response.close()
        return response.status_code, bytes(content)

    async def close(self) -> None:
        self._http.close()


class AsyncRestTransport(_RestTransport):
    """Waits in the running loop."""

    def __init__(self, address: str, tls: Tls | None) -> None:
        super().__init__(address, tls)
        self._http = httpx.AsyncClient(**self.settings)

    async def _send(self, request: httpx.Request, timeout: float) -> tuple[int, bytes]:
        async with asyncio.timeout(timeout):
            response = await self._http.send(request)
        return response.status_code, response.content

    async def close(self) -> None:
        await self._http.aclose()


class _TimeLeft(dict[str, float]):
    """The timeouts of httpx's phases (connect, write, read, pool), each of which gets what the ones before left.

    Without it each phase, and each read, would have the whole time to itself.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._end = time.monotonic() + timeout

    def get(self, phase: str, default: Any = None) -> float:
        return max(self._end - time.monotonic(), 1e-3)  # 0 would mean not to wait at all, with another error

    def check(self) -> None:
        if time.monotonic() > self._end:
            raise TimeoutError


def _root(error: BaseException) -> BaseException:
    """The error underneath all others, which knows more than httpx's own."""
    while (under := error.__cause__ or error.__context__) is not None:
        error = under
    return error


def _tls_trouble(error: ssl.SSLError) -> tuple[Trouble, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        return certificate_trouble(reason), reason
    if error.reason == "WRONG_VERSION_NUMBER":
        return Trouble.NO_TLS, ""
    return Trouble.HANDSHAKE, (error.reason or str(error)).replace("_", " ").lower()


def _cause(error: BaseException) -> str:
    """Says in a few words why there is no connection."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "unknown host"
    return str(error).rstrip(".") or type(error).__name__
