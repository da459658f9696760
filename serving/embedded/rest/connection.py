"""One connection of the REST port: uvicorn's HTTP/1.1, with bounds on the time in which things must arrive.

`rest.server` listens and makes one for each caller; `app` answers what they ask. uvicorn bounds the time between two
requests only: a caller that sends half a head, half a body, or reads no answer would be kept for ever.
"""

import asyncio
import json
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState


@dataclass(frozen=True, kw_only=True)
class ConnectionBounds:
    """What a caller may take.

    Attributes:
        connections: at the same time, of all callers.
        head_seconds: for the head of a request to arrive.
        body_seconds: for its body, and a second more for each `body_rate` bytes that have come, as Apache's
            RequestReadTimeout counts.
        body_rate: bytes a second.
        answer_seconds: without a byte of the answer being taken.
        idle_seconds: between two requests. Proxies keep connections for 60 s, and one that the server closes first
            costs them a request (502).
    """

    connections: int = 1024
    head_seconds: float = 30.0
    body_seconds: float = 30.0
    body_rate: int = 16_384
    answer_seconds: float = 60.0
    idle_seconds: float = 75.0


class _Waits(Enum):
    """What a connection waits for."""

    HEAD, BODY, WORK, IDLE = "the head of the request", "the body of the request", "the answer", "another request"


class RestConnection(H11Protocol):
    """A connection; `check` cuts it when its time is up."""

    def __init__(self, *arguments: Any, bounds: ConnectionBounds, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._bounds = bounds
        self._blocked_since = math.inf
        self._received = 0
        self._enter(_Waits.HEAD)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._bounds.connections and not self._replace_another():
            self._refuse(503, "Too many connections: try again later")

    def data_received(self, data: bytes) -> None:
        if self._waits is _Waits.IDLE:
            self._enter(_Waits.HEAD)
        self._received += len(data)
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        self._enter(_Waits.IDLE)
        super().on_response_complete()  # and begins the next request, if that has come already
        self._follow()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._blocked_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._blocked_since = math.inf

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, as an error of the protocol looks like."""
        self._refuse(400, msg)

    def _should_upgrade(self) -> bool:
        """Leaves other protocols (WebSocket, HTTP/2 without TLS) aside: such a request is answered as HTTP/1.1."""
        return False

    def check(self, now: float) -> None:
        """Cuts the connection if what it waits for is late; `now` is the loop's time."""
        if self.transport is None or self.transport.is_closing():
            return
        if now - self._blocked_since > self._bounds.answer_seconds:
            self.transport.abort()  # what waits to be written would keep a closed connection too
        elif now > self._due():
            if self._waits is _Waits.IDLE or (self._waits is _Waits.HEAD and not self._received):
                self.transport.close()
            else:
                self._refuse(408, f"Request Timeout: {self._waits.value} did not arrive in time")

    def _follow(self) -> None:
        """Enters the state that uvicorn's own is in after data or an answer."""
        if self.cycle is None or self.cycle.response_complete:
            return
        now_in = _Waits.BODY if self.cycle.more_body else _Waits.WORK
        if now_in is not self._waits:
            self._enter(now_in)

    def _enter(self, waits: _Waits) -> None:
        self._waits, self._since, self._received = waits, self.loop.time(), 0

    def _due(self) -> float:
        bounds = self._bounds
        allowed = {
            _Waits.HEAD: bounds.head_seconds,
            _Waits.BODY: bounds.body_seconds + self._received / bounds.body_rate,
            _Waits.WORK: math.inf,
            _Waits.IDLE: bounds.idle_seconds,
        }
        return self._since + allowed[self._waits]

    def _replace_another(self) -> bool:
        """Closes the connection that has waited longest for a request, so that idle ones shut nobody out."""
        waiting = [
            other
            for other in self.connections
            if isinstance(other, RestConnection)
            and other is not self
            and other._waits in (_Waits.HEAD, _Waits.IDLE)
            and not other.transport.is_closing()
        ]
        if not waiting:
            return False
        min(waiting, key=lambda other: other._since).transport.close()
        return True

    def _refuse(self, status: int, message: str) -> None:
        """Answers with an error, where no answer has begun, and closes."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": message}).encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ]
            head = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # whoever works on it is told that the caller is gone
            self.cycle.message_event.set()
        self.transport.close()


def check_all(state: ServerState, now: float) -> None:
    """Checks every connection of a server."""
    for connection in list(state.connections):
        if isinstance(connection, RestConnection):
            connection.check(now)
