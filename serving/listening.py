"""Which addresses a server listens on, and whether it can: asked before anything that takes seconds is loaded.

`model_server` checks here first; `embedded/server` opens the same addresses for gRPC and REST when the models are
available. One rule for both doors: 0.0.0.0 and :: are every address of the machine, IPv4 and IPv6 (so gRPC reads them);
a name is every address it stands for; an IPv6 address may stand in brackets.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from ipaddress import ip_address
from pathlib import Path

from charflow.serving.errors import UsageError
from charflow.serving.ready import host_and_port

EVERY_ADDRESS = ("0.0.0.0", "::")
_LONGEST_SOCKET_PATH = 107  # bytes (sockaddr_un of Linux, with the zero at its end)
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
BACKLOG = 2048  # callers that wait to be accepted


def addresses_of(host: str) -> list[str]:
    """Lists the IP addresses that a host stands for.

    >>> addresses_of("[::1]"), addresses_of("0.0.0.0")
    (['::1'], ['::'])

    Raises:
        UsageError: there is no such host.
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if bare in EVERY_ADDRESS:
        return ["::" if _has_ipv6() else "0.0.0.0"]
    try:
        found = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"--host {host}: there is no such address or name ({_reason(error)}): give one of this machine, such as "
            "127.0.0.1, or 0.0.0.0 for every one."
        ) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@contextmanager
def bound(host: str, port: int, *, flag: str) -> Iterator[list[socket.socket]]:
    """Binds a port on every address of a host, for the time of a block, without listening.

    Args:
        host: an address, a name, or every address.
        port: the port.
        flag: names the port in errors.

    Raises:
        UsageError: it is in use, not allowed, or the host is none of this machine's.
    """
    addresses = addresses_of(host)
    with ExitStack() as stack:
        sockets, missing = [], None
        for address in addresses:
            try:
                sockets.append(stack.enter_context(closing(_bind(address, port))))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise UsageError(_why_not(host, port, flag, error)) from error
                missing = error  # the other addresses of a name may do: ::1 of localhost, where IPv6 is off
        if missing and not sockets:
            raise UsageError(_why_not(host, port, flag, missing)) from missing
        yield sockets


def listen(host: str, port: int, *, flag: str) -> list[socket.socket]:
    """Opens a port on every address of a host.

    Raises:
        UsageError: as `bound`.
    """
    with bound(host, port, flag=flag) as sockets:
        try:
            for each in sockets:
                each.listen(BACKLOG)
        except OSError as error:  # somebody was faster since it was bound
            raise UsageError(_why_not(host, port, flag, error)) from error
        return [each.dup() for each in sockets]


def grpc_addresses(host: str, port: int) -> list[str]:
    """Writes the addresses of a host that this machine has, as gRPC takes them.

    Raises:
        UsageError: as `bound`.
    """
    with bound(host, port, flag="port") as sockets:
        return [host_and_port(each.getsockname()[0], port) for each in sockets]


def check_listening(host: str, port: int, rest_api_port: int, grpc_socket_path: str) -> None:
    """Tries every address that a server is to listen on, and leaves it.

    Raises:
        UsageError: one cannot be had; the sentence names its flag.
    """
    for flag, number in (("port", port), ("rest_api_port", rest_api_port)):
        if number:
            with bound(host, number, flag=flag):
                pass
    if grpc_socket_path:
        _check_socket_path(Path(grpc_socket_path))


def is_shut_in(host: str) -> bool:
    """Tells whether a server on this host listens inside its container only, so that nothing outside reaches it.

    Raises:
        UsageError: as `addresses_of`.
    """
    contained = os.getpid() == 1 or "KUBERNETES_SERVICE_HOST" in os.environ
    return contained and all(ip_address(address.partition("%")[0]).is_loopback for address in addresses_of(host))


def is_answered(path: str) -> bool:
    """Tells whether a living server holds a UNIX socket."""
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.connect(path)
        except OSError:
            return False
    return True


def _bind(address: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
        # Accepted sockets inherit it. asyncio sets it on sockets of its own only; without it each answer, sent as head
        # and body, waits 40 ms for the client's delayed acknowledgement.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.bind(place)
    except BaseException:
        made.close()
        raise
    return made


def _has_ipv6() -> bool:
    try:
        _bind("::", 0).close()
    except OSError:
        return False
    return True


def _why_not(host: str, port: int, flag: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use: give --{flag} another number."
    if error.errno == errno.EACCES:
        return f"Port {port} is not for this user ({_reason(error)}): give --{flag} a number above 1023."
    return (
        f"--host {host}: this machine has no such address ({_reason(error)}): give one that it has, such as "
        "127.0.0.1, or 0.0.0.0 for every one."
    )


def _check_socket_path(path: Path) -> None:
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        raise UsageError(
            f"--grpc_socket_path {path} has {len(os.fsencode(path))} bytes, and a socket's path at most "
            f"{_LONGEST_SOCKET_PATH}: give a shorter one."
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--grpc_socket_path {path}: there is no folder {folder}: make it.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--grpc_socket_path {path}: this user may not write to {folder}: give a path elsewhere.")
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise UsageError(f"--grpc_socket_path {path} is there and is no socket: give another path, or remove it.")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
