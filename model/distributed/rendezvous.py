"""Lets the workers of a cluster wait for each other before any of them starts TensorFlow.

TensorFlow would wait for as long as an hour, deaf to Ctrl-C. Here the chief listens at its own address of the cluster
until all others have reported, lets them go together, and leaves the port to TensorFlow. `strategy` meets the others
here; nothing in this module loads TensorFlow.
"""

import errno
import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from charflow.model.distributed.cluster import CHIEF, JOIN_TIMEOUT
from charflow.pipeline.errors import PeerError, UserError, reason

_HELLO = "charflow worker"
_GO = "go"
_MISSING = "missing"
_LONGEST_LINE = 1 << 16
_AGAIN = 0.1  # seconds between two tries to reach the chief
_CHIEFS_WORD = 5.0  # seconds beyond its own that a worker leaves the chief to tell who did not come
_LOCAL = ("127.", "localhost", "::1")


def meet(addresses: Sequence[str], index: int, *, seconds: float) -> None:
    """Returns when all workers are here.

    Args:
        addresses: host:port of every worker; the first is the chief's.
        index: which of them calls.
        seconds: how long it waits.

    Raises:
        PeerError: some have not come; the message names them.
        UserError: the chief cannot listen at its address.
    """
    end = time.monotonic() + seconds
    missing = _await_others(addresses, end) if index == CHIEF else _report(addresses[CHIEF], index, end)
    if missing:
        named = ", ".join(f"worker {other} ({addresses[other]})" for other in sorted(missing))
        raise PeerError(
            f"worker {index} of {len(addresses)} waited {seconds:g} s for {named}: start all workers, or give them "
            f"more time with {JOIN_TIMEOUT}."
        )


def _await_others(addresses: Sequence[str], end: float) -> set[int]:
    """The chief's part; returns those who did not come."""
    expected = set(range(len(addresses))) - {CHIEF}
    with _listen(addresses[CHIEF]) as listener, selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        here: dict[socket.socket, int | None] = {}  # None until it has said who it is
        try:
            while (missing := expected - set(here.values())) and (left := end - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    if key.fileobj is listener:
                        connection, _ = listener.accept()
                        connection.settimeout(_AGAIN)
                        here[connection] = None
                        selector.register(connection, selectors.EVENT_READ)
                    elif isinstance(key.fileobj, socket.socket):
                        _hear(key.fileobj, here, selector)
            word = f"{_MISSING} {' '.join(map(str, sorted(missing)))}" if missing else _GO
            for connection in here:
                with suppress(OSError):
                    connection.sendall(f"{word}\n".encode())
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)  # until the worker has closed: the port is then free for TensorFlow at once
            return missing
        finally:
            for connection in here:
                connection.close()


def _hear(connection: socket.socket, here: dict[socket.socket, int | None], selector: selectors.BaseSelector) -> None:
    """Notes who a worker says it is; forgets one that has gone again, and whoever is no worker."""
    try:
        words = connection.recv(_LONGEST_LINE).decode(errors="replace").split()
    except OSError:
        words = []
    if here[connection] is None and words[:-1] == _HELLO.split() and words[-1].isdecimal():
        here[connection] = int(words[-1])
        return
    selector.unregister(connection)
    here.pop(connection)
    connection.close()


def _report(chief: str, index: int, end: float) -> set[int]:
    """The part of every other worker; returns those who did not come."""
    host, _, port = chief.rpartition(":")
    missing = {CHIEF}
    while (left := end - time.monotonic()) > 0:
        with suppress(OSError), socket.create_connection((_bare(host), int(port)), timeout=left) as connection:
            connection.sendall(f"{_HELLO} {index}\n".encode())
            connection.settimeout(max(_AGAIN, end - time.monotonic()) + _CHIEFS_WORD)
            with connection.makefile("r", encoding="utf-8", errors="replace") as answers:
                word, *others = answers.readline(_LONGEST_LINE).split() or [""]
            if word == _GO:
                return set()
            if word == _MISSING:
                return {int(other) for other in others}
            # Somebody else has the port: perhaps TensorFlow in a chief that has not yet noticed that we were away.
        time.sleep(_AGAIN)
    return missing


def _listen(address: str) -> socket.socket:
    """Listens at an address of the cluster; on all of this machine's where the name is not one of its own."""
    host, _, port = address.rpartition(":")
    try:
        try:
            return _server(_bare(host), int(port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE or host.startswith(_LOCAL):
                raise
            return _server("", int(port))
    except OSError as error:
        raise UserError(f"worker {CHIEF} cannot listen on {address}: {reason(error)}.") from error


def _server(host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def _bare(host: str) -> str:
    """An IPv6 address without its brackets."""
    return host.removeprefix("[").removesuffix("]")
