"""TLS with client certificates, on both doors."""

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
import pytest

from charflow.serving import Client, ServingError, Tls
from tests.serving.processes.server_process import ServerProcess


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with an authority, and keys and certificates that it signed for the server and a client."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl: install it to make certificates")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(tmp_path, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
    (tmp_path / "extensions").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    for name in ("server", "client"):
        openssl(tmp_path, "req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions"]
        openssl(tmp_path, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)
    return tmp_path


def ssl_config(folder: Path) -> Path:
    def quoted(name: str) -> str:
        return '"' + (folder / name).read_text().replace("\n", "\\n") + '"'

    path = folder / "ssl.config"
    path.write_text(
        f"server_key: {quoted('server.key')} server_cert: {quoted('server.pem')} "
        f"custom_ca: {quoted('ca.pem')} client_verify: true"
    )
    return path


def test_server_asks_for_certificates_on_both_doors(
    start_embedded: Callable[..., ServerProcess], certificates: Path, models: Path
) -> None:
    server = start_embedded(
        ready=False,
        model_name="chat",
        model_base_path=models / "chat",
        ssl_config_file=ssl_config(certificates),
    )
    ca, key, cert = (certificates / name for name in ("ca.pem", "client.key", "client.pem"))
    server.connect(server.grpc, grpc.ssl_channel_credentials(ca.read_bytes(), key.read_bytes(), cert.read_bytes()))
    server.wait_ready()
    assert f"REST: https://{server.rest}" in server.log
    known, unknown = Tls(ca=ca, cert=cert, key=key), Tls(ca=ca)
    texts = {}
    for protocol, address in (("grpc", server.grpc), ("rest", server.rest)):
        with Client(address, protocol, model="chat", tls=known) as client:
            texts[protocol] = client.complete("how do i ")
        for stranger in (unknown, None):
            refused = Client(address, protocol, model="chat", tls=stranger, retries=0, timeout=10)
            with refused as client, pytest.raises(ServingError):
                client.complete("how do i ")
    assert texts["grpc"] == texts["rest"] != ""
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(cert, key)
    status = httpx.get(f"https://{server.rest}/v1/models/chat", verify=context, trust_env=False)
    assert status.json()["model_version_status"][0]["state"] == "AVAILABLE"
    assert "Traceback" not in server.log
