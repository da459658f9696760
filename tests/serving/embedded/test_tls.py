"""Keys and certificates that can be used, and what is said where they cannot."""

import os
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from charflow.serving.embedded.rest import server as rest_server
from charflow.serving.embedded.rest.connection import ConnectionBounds
from charflow.serving.embedded.tls import grpc_credentials, ssl_context
from charflow.serving.errors import UsageError
from charflow.serving.listening import listen
from charflow.serving.protos.ssl_config_pb2 import SSLConfig

pytestmark = pytest.mark.skipif(not which("openssl"), reason="install openssl")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two pairs of key and certificate."""
    folder: Path = tmp_path_factory.mktemp("pem")
    for name in ("server", "other"):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", "/CN=localhost", "-days", "2"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return {file.name: file.read_text() for file in folder.iterdir()}


def config(pem: dict[str, str], **fields: Any) -> SSLConfig:
    return SSLConfig(**{"server_key": pem["server.key"], "server_cert": pem["server.pem"], **fields})


DOORS = pytest.mark.parametrize("door", [grpc_credentials, ssl_context], ids=["grpc", "rest"])


@DOORS
@pytest.mark.parametrize("verify", [False, True], ids=["anyone", "clients with certificates"])
def test_door_takes_a_key_and_its_certificate(door: Callable[[SSLConfig], Any], verify: bool, pem: Any) -> None:
    assert door(config(pem, custom_ca=pem["other.pem"], client_verify=verify)) is not None


def test_ssl_context_asks_clients_only_where_it_shall(pem: dict[str, str]) -> None:
    assert ssl_context(config(pem)).verify_mode == ssl.CERT_NONE
    assert ssl_context(config(pem, custom_ca=pem["other.pem"])).verify_mode == ssl.CERT_NONE
    assert ssl_context(config(pem, custom_ca=pem["other.pem"], client_verify=True)).verify_mode == ssl.CERT_REQUIRED
    assert ssl_context(config(pem)).minimum_version == ssl.TLSVersion.TLSv1_2


@DOORS
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"server_key": "no key"}, "its key or certificate cannot be used: "),
        ({"server_key": ""}, "its key or certificate cannot be used: "),
        ({"server_cert": "no certificate"}, "its key or certificate cannot be used: "),
        ({"server_cert": "other.pem"}, "its key or certificate cannot be used: .*mismatch"),
        ({"custom_ca": "no authority"}, "its key or certificate cannot be used: "),
        ({"client_verify": True}, "client_verify needs custom_ca, the authority of the clients.$"),
    ],
    ids=["bad key", "no key", "bad certificate", "another's certificate", "bad authority", "no authority"],
)
def test_door_refuses(
    fields: dict[str, Any], message: str, door: Callable[[SSLConfig], Any], pem: dict[str, str]
) -> None:
    fields = {name: pem.get(value, value) if isinstance(value, str) else value for name, value in fields.items()}
    with pytest.raises(UsageError, match=f"(?i)^--ssl_config_file: {message}"):
        door(config(pem, **fields))


def test_rest_hangs_up_on_who_does_not_begin_tls(pem: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_server, "_HANDSHAKE_SECONDS", 0.3)
    server = rest_server.RestServer(
        PlainTextResponse("hi"), bounds=ConnectionBounds(), grace=0, tls=ssl_context(config(pem))
    )
    (listening,) = listen("127.0.0.1", 0, flag="rest_api_port")
    address = listening.getsockname()
    server.start([listening])
    with socket.create_connection(address, timeout=10) as silent:
        assert silent.recv(1) == b""
    server.stop()
    assert server.join(10)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has files in memory")
@DOORS
def test_door_needs_no_folder_to_write_to(
    door: Callable[[SSLConfig], Any], pem: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's root file system may be read-only; and a key should not touch a disk."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    assert door(config(pem)) is not None
