"""What is asked of a server to know that it can be called, and what is then printed."""

import http.server
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from charflow.serving.errors import UsageError
from charflow.serving.ready import Doors, print_ready

STATES = {"/v1/models/a": "AVAILABLE", "/v1/models/b": "LOADING", "/v1/models/c%2Fd": "AVAILABLE"}


class Status(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in STATES else 404)
        self.end_headers()
        self.wfile.write(f'{{"model_version_status": [{{"state": "{STATES.get(self.path)}"}}]}}'.encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def rest_port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Status) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def serve_grpc() -> Iterator[Callable[..., int]]:
    servers = []

    def serve_grpc(address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None) -> int:
        server = grpc.server(futures.ThreadPoolExecutor(1))
        servers.append(server)
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        server.start()
        return port

    yield serve_grpc
    for server in servers:
        server.stop(None).wait()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and hangs up on them, as Docker's does before the container listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        yield listener.getsockname()[1]


def rest(port: int, *models: str, host: str = "127.0.0.1") -> Doors:
    return Doors(host=host, port=8500, rest_api_port=port, models=models)


@pytest.mark.parametrize(
    ("models", "expected"),
    [(["a"], True), (["a", "c/d"], True), (["b"], False), (["a", "b"], False), (["unknown"], False)],
    ids=["available", "two", "loading", "one-of-two", "unknown"],
)
def test_doors_are_open_when_every_model_is_available(rest_port: int, models: list[str], expected: bool) -> None:
    assert rest(rest_port, *models).are_open() is expected


def test_doors_on_every_address_are_asked_on_this_machine(rest_port: int) -> None:
    assert rest(rest_port, "a", host="0.0.0.0").are_open()


def test_doors_are_closed_while_nothing_answers(silent_port: int) -> None:
    assert not rest(silent_port, "a").are_open()
    assert not Doors(host="127.0.0.1", port=silent_port, rest_api_port=0).are_open()


def test_doors_of_grpc_alone_are_open_when_it_answers(serve_grpc: Callable) -> None:
    assert Doors(host="127.0.0.1", port=serve_grpc(), rest_api_port=0, models=["a"]).are_open()


def test_doors_of_a_socket_alone_are_open_when_it_answers(serve_grpc: Callable, tmp_path: Path) -> None:
    doors = Doors(host="127.0.0.1", port=0, grpc_socket_path=str(tmp_path / "s"), rest_api_port=0)
    assert not doors.are_open()
    serve_grpc(f"unix:{tmp_path}/s")
    assert doors.are_open()


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs a certificate: install openssl")
def test_doors_of_encrypted_grpc_are_open_when_it_answers(serve_grpc: Callable, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=elsewhere", "-days", "2"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    pair = (key.read_bytes(), certificate.read_bytes())
    port = serve_grpc(credentials=grpc.ssl_server_credentials([pair]))
    assert Doors(host="127.0.0.1", port=port, rest_api_port=0, tls=True).are_open()
    assert ssl.get_server_certificate(("127.0.0.1", port)).strip() == certificate.read_text().strip()


def test_port_in_use_is_refused_by_its_flag(rest_port: int) -> None:
    with pytest.raises(UsageError) as refusal:
        Doors(host="127.0.0.1", port=0, grpc_socket_path="s", rest_api_port=rest_port).refuse_taken()
    assert str(refusal.value) == f"Port {rest_port} is in use: give --rest_api_port another number."


@pytest.mark.parametrize(
    ("doors", "expected"),
    [
        (Doors(host="127.0.0.1", port=1, rest_api_port=2), ("127.0.0.1:1", "127.0.0.1:2")),
        (Doors(host="::1", port=1, rest_api_port=0), ("[::1]:1", None)),
        (Doors(host="::1", port=0, grpc_socket_path="/s", rest_api_port=2), ("unix:/s", "[::1]:2")),
        (Doors(host="h", port=1, grpc_socket_path="/s", rest_api_port=2), ("h:1 and unix:/s", "h:2")),
    ],
    ids=["both", "ipv6", "socket", "port-and-socket"],
)
def test_addresses_of_doors(doors: Doors, expected: tuple[str, str | None]) -> None:
    assert (doors.grpc_address, doors.rest_address) == expected


@pytest.mark.parametrize(
    ("ready", "expected"),
    [
        (
            ("127.0.0.1:8500", "127.0.0.1:8501", ["a", "b"]),
            [
                "Serving a, b.",
                "gRPC: 127.0.0.1:8500",
                "REST: http://127.0.0.1:8501",
                """Try:  curl -d '{"instances": ["how do i "]}' http://127.0.0.1:8501/v1/models/a:predict""",
            ],
        ),
        (
            (None, "0.0.0.0:8501", ["a b"]),
            [
                "Serving a b.",
                "REST: http://0.0.0.0:8501",
                """Try:  curl -d '{"instances": ["how do i "]}' http://127.0.0.1:8501/v1/models/a%20b:predict""",
            ],
        ),
        (("127.0.0.1:8500", None, ["a"]), ["Serving a.", "gRPC: 127.0.0.1:8500"]),
        ((None, "[::1]:8501", []), ["Serving no model yet.", "REST: http://[::1]:8501"]),
    ],
    ids=["both", "every-address", "grpc-alone", "no-model"],
)
def test_print_ready_shows_where_to_call(capsys: pytest.CaptureFixture, ready: tuple, expected: list[str]) -> None:
    print_ready(*ready)
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize(
    ("rest", "tls", "expected"),
    [
        ("127.0.0.1:8501", False, "Page: http://127.0.0.1:8501/"),
        ("0.0.0.0:8501", True, "Page: https://127.0.0.1:8501/"),
    ],
    ids=["plain", "every address, TLS"],
)
def test_print_ready_shows_where_the_page_is(
    capsys: pytest.CaptureFixture, rest: str, tls: bool, expected: str
) -> None:
    print_ready(None, rest, [], rest_tls=tls, playground=True)
    assert capsys.readouterr().out.splitlines()[2:] == [expected]


@pytest.mark.parametrize(
    ("client_verify", "files"),
    [(False, "--cacert CA.pem"), (True, "--cacert CA.pem --cert CLIENT.pem --key CLIENT.key")],
    ids=["server alone", "clients too"],
)
def test_print_ready_shows_a_call_that_trusts_the_server(
    capsys: pytest.CaptureFixture, client_verify: bool, files: str
) -> None:
    print_ready("127.0.0.1:8500", "127.0.0.1:8501", ["a"], rest_tls=True, client_verify=client_verify)
    assert capsys.readouterr().out.splitlines() == [
        "Serving a.",
        "gRPC: 127.0.0.1:8500",
        "REST: https://127.0.0.1:8501",
        f"""Try:  curl {files} -d '{{"instances": ["how do i "]}}' https://127.0.0.1:8501/v1/models/a:predict""",
    ]
