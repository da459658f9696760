"""Encrypted connections: whom the client trusts, who it says it is, and what it says where that fails."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from charflow.serving import ArgumentError, Client, Tls, Unreachable
from charflow.serving.client.wire.transport import unreachable
from charflow.serving.client.wire.trouble import Trouble, certificate_trouble
from tests.serving.client.fake_servers import FakeServers, Pem

pytestmark = pytest.mark.skipif(not which("openssl"), reason="install openssl")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Names files of a folder with a CA, and certificates for 127.0.0.1, for elsewhere.test, and for a client."""
    folder = tmp_path_factory.mktemp("pem")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    for name, alternative in (("here", "IP:127.0.0.1"), ("elsewhere", "DNS:elsewhere.test"), ("client", "DNS:client")):
        (folder / "names").write_text(f"subjectAltName={alternative}\n")
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    (folder / "broken.pem").write_text("no certificate\n")
    return lambda name: str(folder / name)


@pytest.fixture(scope="module")
def start(pem: Callable[[str], str]) -> Iterator[Callable[..., Any]]:
    """Starts servers with the certificate of a name, once for each."""
    started: dict[Any, Any] = {}

    def start(name: str, *, ask_client: bool = False) -> Any:
        if (name, ask_client) not in started:
            files = Pem(pem(f"{name}.pem"), pem(f"{name}.key"), pem("ca.pem") if ask_client else None)
            started[name, ask_client] = FakeServers(files)
        return started[name, ask_client]

    yield start
    for servers in started.values():
        servers.stop()


def test_trusted_server_answers(connect: Callable, start: Callable, pem: Callable, protocol: str) -> None:
    client = connect(start("here").addresses[protocol], tls=Tls(ca=pem("ca.pem")))
    assert len(client.complete("a")) == 12
    assert len("".join(client.stream("a"))) == 12


def test_server_that_is_not_trusted_is_refused(connect: Callable, start: Callable, protocol: str) -> None:
    address = start("here").addresses[protocol]
    with pytest.raises(Unreachable) as caught:
        connect(address, tls=True, retries=0).complete("a")
    assert caught.value.message == (
        f"{address}: the certificate of the server is not trusted (unable to get local issuer certificate): "
        "pass that of its authority as tls=Tls(ca=...)."
    )
    assert caught.value.for_command() == (
        f"{address}: the certificate of the server is not trusted (unable to get local issuer certificate). "
        "Pass that of its authority as --ca FILE."
    )


def test_server_of_another_name_is_refused(connect: Callable, start: Callable, pem: Callable, protocol: str) -> None:
    address = start("elsewhere").addresses[protocol]
    with pytest.raises(Unreachable) as caught:
        connect(address, tls=Tls(ca=pem("ca.pem")), retries=0).complete("a")
    assert caught.value.message.startswith(f"{address}: the certificate of the server is for another host (")
    assert caught.value.message.endswith("or pass that name as tls=Tls(server_name=...).")
    assert caught.value.for_command().endswith("). Name the host in --server as the certificate does.")


def test_server_name_says_which_name_to_look_for(
    connect: Callable, start: Callable, pem: Callable, protocol: str
) -> None:
    address = start("elsewhere").addresses[protocol]
    client = connect(address, tls=Tls(ca=pem("ca.pem"), server_name="elsewhere.test"))
    assert len(client.complete("a")) == 12


def test_server_that_asks_gets_the_certificate_of_the_client(
    connect: Callable, start: Callable, pem: Callable, protocol: str
) -> None:
    address = start("here", ask_client=True).addresses[protocol]
    own = Tls(ca=pem("ca.pem"), cert=pem("client.pem"), key=pem("client.key"))
    assert len(connect(address, tls=own).complete("a")) == 12
    with pytest.raises(Unreachable) as caught:
        connect(address, tls=Tls(ca=pem("ca.pem")), retries=0).complete("a")
    assert caught.value.message.startswith(f"{address}: the server took part in TLS, then closed the connection")
    assert "if it asks for a certificate, pass one that it trusts as tls=Tls(cert=..., key=...)" in caught.value.message
    assert "as --cert FILE --key FILE" in caught.value.for_command()
    assert ("leave out --rest" in caught.value.for_command()) is (protocol == "rest")  # both doors hang up alike


@pytest.mark.parametrize("ask_client", [False, True], ids=["server alone", "clients too"])
def test_plain_client_is_told_that_the_server_may_encrypt(
    connect: Callable, start: Callable, protocol: str, ask_client: bool
) -> None:
    address = start("here", ask_client=ask_client).addresses[protocol]
    with pytest.raises(Unreachable) as caught:
        connect(address, retries=0, timeout=5).complete("a")
    assert caught.value.message == (
        f"{address}: the server closed the connection without an answer: "
        "if it uses TLS, pass tls=Tls(ca=...), and cert and key if it asks for a certificate."
    )
    assert caught.value.for_command() == (
        f"{address}: the server closed the connection without an answer. "
        "If it uses TLS, pass --ca FILE, and --cert FILE --key FILE if it asks for a certificate."
    )


def test_encrypting_client_is_told_that_the_server_does_not(
    connect: Callable, servers: Any, pem: Callable, protocol: str
) -> None:
    with pytest.raises(Unreachable) as caught:
        connect(tls=Tls(ca=pem("ca.pem")), retries=0).complete("a")
    address = servers.addresses[protocol]
    assert caught.value.message == f"{address}: what answers there is not TLS: leave out tls."
    assert caught.value.for_command().endswith("not TLS. Leave out --tls, --ca, --cert and --key.")


def test_grpc_client_on_an_encrypting_rest_port_is_told(start: Callable, pem: Callable) -> None:
    address = start("here").addresses["rest"]
    with Client(address, tls=Tls(ca=pem("ca.pem")), retries=0) as client, pytest.raises(Unreachable) as caught:
        client.complete("a")
    assert caught.value.seen == f"{address}: REST answers there, not gRPC"


@pytest.mark.parametrize(
    ("reason", "trouble"),
    [
        ("self-signed certificate in certificate chain", Trouble.UNTRUSTED),
        ("unable to verify the first certificate", Trouble.UNTRUSTED),
        ("Hostname mismatch, certificate is not valid for 'a'", Trouble.OTHER_HOST),
        ("certificate has expired", Trouble.BAD_CERTIFICATE),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told_apart(reason: str, trouble: Trouble) -> None:
    assert certificate_trouble(reason) is trouble


def test_trouble_that_no_option_helps_against_is_told_alone() -> None:
    error = unreachable("a:1", Trouble.BAD_CERTIFICATE, "certificate has expired")
    sentence = "a:1: the certificate of the server is not valid (certificate has expired)"
    assert (error.message, error.for_command()) == (f"{sentence}.", f"{sentence}.")


FILES = {
    "no certificate": ({"ca": "broken.pem"}, "{ca} is no PEM file of certificates: "),
    "key of another": ({"cert": "client.pem", "key": "here.key"}, "{cert} and {key} are no certificate and key: "),
    "no key": ({"cert": "client.pem", "key": "broken.pem"}, "{cert} and {key} are no certificate and key: "),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_certificates_are_refused(connect: Callable, pem: Callable, case: str) -> None:
    names, message = FILES[case]
    files = {what: pem(name) for what, name in names.items()}
    with pytest.raises(ArgumentError) as caught:
        connect("127.0.0.1:1", tls=Tls(**files))
    assert str(caught.value).startswith(message.format(**files))


def test_files_that_are_missing_are_named(connect: Callable, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        connect("127.0.0.1:1", tls=Tls(ca=tmp_path / "ca.pem"))
    assert caught.value.filename == str(tmp_path / "ca.pem")


def test_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^Pass a certificate and its key together\.$"):
        Tls(cert="client.pem")
