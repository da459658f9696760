"""The REST listener around an application of three lines: what callers may take, and how it ends."""

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from charflow.serving.embedded.rest.app import RestApp
from charflow.serving.embedded.rest.asgi import Receive, Scope, Send
from charflow.serving.embedded.rest.connection import ConnectionBounds
from charflow.serving.embedded.rest.server import RestServer
from charflow.serving.listening import listen


class Answers:
    """Reads a request's body, waits at a gate, answers with the body's length, or more."""

    def __init__(self) -> None:
        self.gate, self.gone, self.size = threading.Event(), threading.Event(), 0
        self.gate.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return
            length, more = length + len(message["body"]), message["more_body"]
        while not self.gate.is_set():
            await asyncio.sleep(0.01)
        body = str(length).encode().ljust(self.size)
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Opened:
    """A server that listens."""

    def __init__(self, app: Any, grace: float, **bounds: Any) -> None:
        (sock,) = listen("127.0.0.1", 0, flag="rest_api_port")
        self.port = sock.getsockname()[1]
        self.server = RestServer(app, bounds=ConnectionBounds(**bounds), grace=grace)
        self.server.start([sock])
        while not self.server.started:
            time.sleep(0.01)

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.settimeout(10)
        return connection


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def opened(answers: Answers) -> Iterator[Callable[..., Opened]]:
    made: list[Opened] = []

    def opened(app: Any = answers, *, grace: float = 0.0, **bounds: Any) -> Opened:
        made.append(Opened(app, grace, **bounds))
        return made[-1]

    yield opened
    answers.gate.set()
    for each in made:
        each.server.stop()
        assert each.server.join(10)


POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"


def read(connection: socket.socket) -> bytes:
    """Everything until the server hangs up."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def ask(connection: socket.socket) -> bytes:
    """Sends a request, and gives the status of its answer."""
    connection.sendall(POST + b"abcde")
    answer = b""
    while not answer.endswith(b"\r\n\r\n5"):
        answer += connection.recv(1000)
    return answer.split()[1]


def refusal(answer: bytes) -> tuple[int, str]:
    head, body = answer.split(b"\r\n\r\n", 1)
    assert b"connection: close" in head
    assert b"application/json" in head
    return int(head.split()[1]), json.loads(body)["error"]


UNSENT: dict[str, tuple[bytes, dict[str, float], tuple[int, str] | None]] = {
    "nothing": (b"", {"head_seconds": 0.3}, None),
    "half a head": (
        b"POST / HTTP/1.1\r\nHost:",
        {"head_seconds": 0.3},
        (408, "Request Timeout: the head of the request did not arrive in time"),
    ),
    "half a body": (
        POST + b"ab",
        {"body_seconds": 0.3},
        (408, "Request Timeout: the body of the request did not arrive in time"),
    ),
}


@pytest.mark.parametrize("name", UNSENT)
@pytest.mark.slow
def test_request_that_does_not_arrive_is_cut(name: str, opened: Callable[..., Opened]) -> None:
    sent, bounds, expected = UNSENT[name]
    with opened(**bounds).connect() as connection:
        connection.sendall(sent)
        answer = read(connection)
        assert (refusal(answer) if answer else None) == expected


@pytest.mark.slow
def test_body_that_is_cut_is_told_to_who_reads_it(opened: Callable[..., Opened], answers: Answers) -> None:
    with opened(body_seconds=0.3).connect() as connection:
        connection.sendall(POST)
        assert answers.gone.wait(10)


@pytest.mark.slow
def test_body_that_goes_on_has_more_time(opened: Callable[..., Opened]) -> None:
    with opened(body_seconds=1.2, body_rate=1).connect() as connection:
        connection.sendall(POST)
        for byte in b"abcde":
            time.sleep(0.5)
            connection.sendall(bytes([byte]))
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_connection_between_requests_is_kept_and_then_cut(opened: Callable[..., Opened]) -> None:
    with opened(idle_seconds=1.5).connect() as connection:
        for _ in range(2):
            assert ask(connection) == b"200"
            time.sleep(0.6)
        assert read(connection) == b""


def test_connections_are_kept_longer_than_proxies_keep_them() -> None:
    assert ConnectionBounds().idle_seconds > 60


@pytest.mark.slow
def test_answer_that_nobody_takes_is_cut(opened: Callable[..., Opened], answers: Answers) -> None:
    answers.size = 50_000_000
    server = opened(answer_seconds=0.3)
    with server.connect() as connection:
        connection.sendall(POST + b"abcde")
        end = time.monotonic() + 10
        while not server.server.server_state.connections:
            time.sleep(0.01)
        while server.server.server_state.connections:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_idle_connections_shut_nobody_out(opened: Callable[..., Opened], answers: Answers) -> None:
    server = opened(connections=3)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(20)]
        for _ in range(2):
            used = stack.enter_context(server.connect())
            assert ask(used) == b"200"
        assert read(idle[0]) == b""
        assert len(server.server.server_state.connections) <= 4


def test_connection_too_many_is_refused_while_the_others_are_at_work(
    opened: Callable[..., Opened], answers: Answers
) -> None:
    server = opened(connections=2)
    answers.gate.clear()
    with contextlib.ExitStack() as stack:
        working = [stack.enter_context(server.connect()) for _ in range(2)]
        for connection in working:
            connection.sendall(POST + b"abcde")
        time.sleep(0.3)
        assert refusal(read(stack.enter_context(server.connect()))) == (503, "Too many connections: try again later")
        answers.gate.set()
        for connection in working:
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
def test_upgrade_is_answered_without_and_not_advised_on(
    upgrade: bytes, opened: Callable[..., Opened], caplog: pytest.LogCaptureFixture
) -> None:
    with opened().connect() as connection:
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + upgrade + b"\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert caplog.messages == []


def test_what_is_no_http_gets_a_proper_error(opened: Callable[..., Opened]) -> None:
    with opened().connect() as connection:
        connection.sendall(b"\x16\x03\x01 what\r\n\r\n")
        assert refusal(read(connection)) == (400, "Invalid HTTP request received.")


class Stuck:
    """A core whose status takes a second and a half."""

    def statuses(self, _: Any) -> list[Any]:
        time.sleep(1.5)
        return []


def test_stop_answers_what_is_not_done_in_time(opened: Callable[..., Opened]) -> None:
    """Whether it is half sent or at work: an error of the protocol, and no plain text."""
    app = RestApp(
        Stuck(),
        timeout_ms=0,
        enable_cors=False,
        metrics=None,
        metrics_path="/metrics",
        threads=1,
        max_queued=1,
        max_body_bytes=1000,
    )
    server = opened(app, grace=0.0)
    with server.connect() as sending, server.connect() as working:
        sending.sendall(POST.replace(b"/ ", b"/v1/models/a:predict ") + b"ab")
        working.sendall(b"GET /v1/models/a HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.3)
        began = time.monotonic()
        server.server.stop()
        expected = (503, "The server is ending, and the call was not done in time")
        assert refusal(read(sending)) == expected
        assert refusal(read(working)) == expected
        assert server.server.join(5)
        assert time.monotonic() - began < 4


@pytest.mark.slow
def test_no_descriptor_left_is_no_flood(
    opened: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those who wait are hung up on, and the rest goes on."""
    server = opened()
    accept, failures = socket.socket.accept, [OSError(errno.EMFILE, os.strerror(errno.EMFILE))]

    def without(listener: socket.socket) -> Any:
        if failures:
            raise failures.pop()
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", without)
    with caplog.at_level(logging.ERROR), server.connect() as lost:
        assert read(lost) == b""
    end = time.monotonic() + 10
    while not caplog.messages:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert caplog.messages == ["No file descriptor is left (ulimit -n): new connections are hung up on"]
    with server.connect() as connection:
        assert ask(connection) == b"200"
