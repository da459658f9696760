"""Failures come as the class of their code, with the server's message or one clear sentence."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from charflow.serving import ArgumentError, Internal, InvalidArgument, NotFound, ServingError, Unavailable, Unreachable
from charflow.serving.errors import error_of
from tests.serving.client.fake_model import Refused

CODES = [
    "INVALID_ARGUMENT",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "NOT_FOUND",
    "ABORTED",
    "RESOURCE_EXHAUSTED",
    "CANCELLED",
    "INTERNAL",
    "UNIMPLEMENTED",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
]


@pytest.fixture
def refuse(servers: Any) -> Callable[[str, str], None]:
    """Makes the next answer an error."""
    return lambda code, message: servers.backend.errors.append(Refused(code, message))


@pytest.mark.parametrize("code", CODES)
def test_errors_have_the_class_of_their_code(connect: Callable[..., Any], refuse: Callable, code: str) -> None:
    refuse(code, "a reason, with “quotes” and\nlines")
    with pytest.raises(ServingError) as caught:
        connect(retries=0).complete("a")
    assert type(caught.value) is type(error_of(code, ""))
    assert caught.value.message == "a reason, with “quotes” and\nlines"


def test_unknown_model_is_not_found(connect: Callable[..., Any]) -> None:
    with pytest.raises(NotFound) as caught:
        connect(model="other").complete("a")
    assert caught.value.message == "Servable not found for request: Latest(other)"


def test_unknown_version_and_label_are_told(connect: Callable[..., Any]) -> None:
    with pytest.raises(NotFound, match=r"Specific\(fake, 9\)"):
        connect(version=9).status()
    with pytest.raises(InvalidArgument, match="Unrecognized servable version label: none"):
        connect(label="none").complete("a")


@pytest.mark.parametrize("method", ["complete", "generate", "metadata", "status", "score"])
def test_server_that_is_not_there_is_named(connect: Callable[..., Any], free_port: int, method: str) -> None:
    client = connect(f"127.0.0.1:{free_port}", retries=1)
    with pytest.raises(Unreachable) as caught:
        getattr(client, method)(*["a"] * (method not in ("metadata", "status")))
    assert caught.value.message == f"127.0.0.1:{free_port}: no server answers there (connection refused)."
    assert isinstance(caught.value, Unavailable)


def test_host_that_does_not_exist_is_named(connect: Callable[..., Any]) -> None:
    with pytest.raises(Unreachable) as caught:
        connect("nowhere.invalid:8500", retries=0).complete("a")
    assert caught.value.message == "nowhere.invalid:8500: no server answers there (unknown host)."


OTHER_PORT = {
    "grpc": (
        'REST answers there, not gRPC: pass protocol="rest", or the gRPC port (8500 by habit).',
        "REST answers there, not gRPC. Pass --rest, or the gRPC port with --server (8500 by habit).",
    ),
    "rest": (
        'gRPC answers there, not REST: pass protocol="grpc", or the REST port (8501 by habit).',
        "gRPC answers there, not REST. Leave out --rest, or pass the REST port with --server (8501 by habit).",
    ),
}


def test_port_of_the_other_protocol_is_told(connect: Callable[..., Any], servers: Any, protocol: str) -> None:
    address = servers.addresses["rest" if protocol == "grpc" else "grpc"]
    with pytest.raises(Unreachable) as caught:
        connect(address, retries=0).complete("a")
    assert (caught.value.message, caught.value.for_command()) == tuple(
        f"{address}: {said}" for said in OTHER_PORT[protocol]
    )


@pytest.mark.parametrize("way", ["rest", "rest asyncio"], indirect=True)
def test_connection_that_breaks_after_an_answer_is_not_blamed_on_tls(connect: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_once() -> None:
            body = b'{"model_version_status": []}'
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                connection.recv(65536)

        thread = threading.Thread(target=answer_once)
        thread.start()
        client = connect(f"127.0.0.1:{listener.getsockname()[1]}", retries=0, timeout=5)
        assert client.status() == []
        with pytest.raises(Unavailable, match=r": the connection broke \(") as caught:
            client.status()
        thread.join()
    assert not isinstance(caught.value, Unreachable)


def test_server_that_hangs_up_is_unavailable(connect: Callable[..., Any], hanging_up: int) -> None:
    with pytest.raises(Unavailable):
        connect(f"127.0.0.1:{hanging_up}", retries=0, timeout=5).complete("a")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an output missing": (
        {"log_prob": None},
        "The answer of signature 'generate' has no output 'log_prob'. It has: finish_reason, length, text.",
    ),
    "too few rows": ({"text": ["a"]}, "Output 'text' of signature 'generate' has 1 rows where 2 were asked for."),
    "a wrong type": ({"length": [1.5, 2.5]}, "Output 'length' of signature 'generate' has values of the wrong type."),
}


@pytest.mark.parametrize("case", WRONG)
def test_answers_of_another_form_are_told(client: Any, backend: Any, case: str) -> None:
    backend.changes, message = WRONG[case]
    with pytest.raises(Internal) as caught:
        client.generate(["a", "b"])
    assert caught.value.message == message


BODIES: dict[str, tuple[tuple[int, bytes], str, str]] = {
    "a page": ((200, b"<html>"), "INTERNAL", "The server sent an answer that is none of TensorFlow Serving"),
    "no outputs": ((200, b'{"a": 1}'), "INTERNAL", "The server sent an answer that is none of TensorFlow Serving"),
    "a list": ((200, b"[1]"), "INTERNAL", "The server sent an answer that is none of TensorFlow Serving"),
    "a proxy's page": ((502, b"<html>"), "UNAVAILABLE", "{address} answered HTTP 502 Bad Gateway."),
    "no message": ((404, b'{"detail": "no"}'), "NOT_FOUND", "{address} answered HTTP 404 Not Found."),
    "a strange status": ((599, b""), "UNKNOWN", "{address} answered HTTP 599."),
    "a redirection": ((302, b""), "UNKNOWN", "{address} answered HTTP 302 Found."),
}


@pytest.mark.parametrize("way", ["rest", "rest asyncio"], indirect=True)
@pytest.mark.parametrize("case", BODIES)
def test_rest_answers_that_are_none_of_tensorflow_serving(connect: Callable[..., Any], servers: Any, case: str) -> None:
    servers.raw, code, message = BODIES[case]
    with pytest.raises(ServingError) as caught:
        connect(retries=0).complete("a")
    assert caught.value.code == code
    assert caught.value.message.startswith(message.format(address=servers.addresses["rest"]))


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def hanging_up() -> Iterator[int]:
    """The port of a server that closes every connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                listener.accept()[0].close()
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize("method", ["complete", "stream", "status", "metadata"])
def test_closed_client_says_so(client: Any, method: str) -> None:
    client.status()
    client.close()
    with pytest.raises(ArgumentError, match=r"^The client is closed: make another\.$"):
        list(client.stream("a")) if method == "stream" else getattr(client, method)(*["a"] * (method == "complete"))
