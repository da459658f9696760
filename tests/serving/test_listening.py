"""Which addresses both doors listen on, and the sentences for those that they cannot have."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from charflow.serving import listening
from charflow.serving.errors import UsageError
from charflow.serving.listening import addresses_of, check_listening, grpc_addresses, listen

NOWHERE = "192.0.2.1"  # of TEST-NET-1 (RFC 5737): no machine has it


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]"])
def test_every_address_is_one_rule_for_both_families(host: str) -> None:
    port = free_port()
    assert grpc_addresses(host, port) == [f"[::]:{port}" if has_ipv6() else f"0.0.0.0:{port}"]
    opened = listen(host, port, flag="rest_api_port")
    try:
        assert answers("127.0.0.1", port)
        assert answers("::1", port) == has_ipv6()
    finally:
        for each in opened:
            each.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_both_doors_open_the_same_addresses(host: str) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("no IPv6 here: turn it on")
    port = free_port()
    over_grpc = grpc_addresses(host, port)
    opened = listen(host, port, flag="rest_api_port")
    over_rest = [each.getsockname()[0] for each in opened]
    for each in opened:
        each.close()
    assert [address.rpartition(":")[0].strip("[]") for address in over_grpc] == over_rest
    assert over_rest
    assert set(over_rest) <= set(addresses_of(host))


def test_address_of_a_name_that_this_machine_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as ::1 for localhost, where IPv6 is off."""
    monkeypatch.setattr(listening, "addresses_of", lambda _: [NOWHERE, "127.0.0.1"])
    port = free_port()
    assert grpc_addresses("name", port) == [f"127.0.0.1:{port}"]


@pytest.mark.parametrize(
    ("host", "start"),
    [
        (NOWHERE, f"--host {NOWHERE}: this machine has no such address (Cannot assign requested address): give one "),
        ("no.such.host.invalid", "--host no.such.host.invalid: there is no such address or name ("),
        ("[::", "--host [::: there is no such address or name ("),
        ("a" * 300, f"--host {'a' * 300}: there is no such address or name ("),
    ],
    ids=["of another machine", "unknown", "half a bracket", "too long"],
)
def test_host_that_cannot_be_had_is_a_sentence(host: str, start: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_listening(host, free_port(), 0, "")
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith("such as 127.0.0.1, or 0.0.0.0 for every one.")


@pytest.mark.parametrize("flag", ["port", "rest_api_port"])
def test_port_that_is_taken_names_its_flag(flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"port": 0, "rest_api_port": 0, flag: port}
        with pytest.raises(UsageError) as caught:
            check_listening("127.0.0.1", ports["port"], ports["rest_api_port"], "")
    assert str(caught.value) == f"Port {port} is in use: give --{flag} another number."


def test_port_that_is_not_for_this_user_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str, port: int) -> socket.socket:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(listening, "_bind", refuse)
    with pytest.raises(UsageError) as caught:
        check_listening("127.0.0.1", 80, 0, "")
    assert str(caught.value) == ("Port 80 is not for this user (Permission denied): give --port a number above 1023.")


def no_folder(path: Path) -> str:
    return str(path / "none" / "s")


def too_long(path: Path) -> str:
    return str(path / ("s" * 108))


def file(path: Path) -> str:
    (path / "s").write_text("mine")
    return str(path / "s")


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (no_folder, ": there is no folder {folder}/none: make it."),
        (too_long, " bytes, and a socket's path at most 107: give a shorter one."),
        (file, " is there and is no socket: give another path, or remove it."),
    ],
)
def test_socket_path_that_cannot_be_had_is_a_sentence(make: Callable[[Path], str], what: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(UsageError) as caught:
        check_listening("127.0.0.1", 0, 0, path)
    assert str(caught.value).startswith(f"--grpc_socket_path {path}")
    assert str(caught.value).endswith(what.format(folder=tmp_path))


def test_socket_of_another_server_may_be_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        check_listening("127.0.0.1", 0, 0, str(tmp_path / "s"))
