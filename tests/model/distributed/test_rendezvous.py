"""Real sockets on this machine; a worker is a thread here."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from charflow.model.distributed.cluster import free_ports
from charflow.model.distributed.rendezvous import meet
from charflow.pipeline.errors import PeerError, UserError


def addresses(count: int) -> list[str]:
    return [f"127.0.0.1:{port}" for port in free_ports(count)]


@contextmanager
def calling(workers: list[str], *indices: int, seconds: float) -> Iterator[list[Future]]:
    with ThreadPoolExecutor(len(indices)) as pool:
        yield [pool.submit(meet, workers, index, seconds=seconds) for index in indices]


def visiting(address: str) -> socket.socket:
    """Connects as soon as somebody listens there."""
    host, port = address.split(":")
    for _ in range(100):
        with suppress(ConnectionRefusedError):
            return socket.create_connection((host, int(port)), timeout=5)
        time.sleep(0.05)
    raise AssertionError("nobody listens")


def message(future: Future) -> str:
    with pytest.raises(PeerError) as raised:
        future.result(timeout=20)
    return str(raised.value)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)], ids=["chief first", "chief last"])
def test_all_go_when_the_last_has_come(order: tuple[int, ...]) -> None:
    workers = addresses(3)
    with calling(workers, *order[:2], seconds=20) as early:
        time.sleep(0.5)
        assert not any(future.done() for future in early)
        meet(workers, order[2], seconds=20)
        for future in early:
            future.result(timeout=20)
    host, port = workers[0].split(":")
    socket.create_server((host, int(port))).close()  # free for TensorFlow at once


def test_one_worker_alone_does_not_wait() -> None:
    meet(addresses(1), 0, seconds=0)


@pytest.mark.slow
def test_everyone_is_told_who_did_not_come() -> None:
    workers = addresses(4)
    with calling(workers, 0, 1, seconds=1) as here:
        for index, future in enumerate(here):
            assert message(future) == (
                f"worker {index} of 4 waited 1 s for worker 2 ({workers[2]}), worker 3 ({workers[3]}): start all "
                "workers, or give them more time with CHARFLOW_JOIN_TIMEOUT."
            )


def test_a_chief_that_does_not_come_is_named() -> None:
    workers = addresses(2)
    with calling(workers, 1, seconds=0.3) as (future,):
        assert f"worker 1 of 2 waited 0.3 s for worker 0 ({workers[0]})" in message(future)


@pytest.mark.slow
def test_a_worker_that_went_away_again_is_missing() -> None:
    workers = addresses(3)
    with calling(workers, 0, seconds=2) as (chief,):
        with visiting(workers[0]) as visitor:
            visitor.sendall(b"charflow worker 2\n")
            time.sleep(0.2)
        with calling(workers, 1, seconds=2) as (worker,):
            for future in (chief, worker):
                assert f"for worker 2 ({workers[2]})" in message(future)


def test_a_visitor_that_is_no_worker_is_sent_away() -> None:
    workers = addresses(2)
    with calling(workers, 0, seconds=20) as (chief,):
        with visiting(workers[0]) as visitor:
            visitor.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert visitor.recv(1) == b""
        meet(workers, 1, seconds=20)
        chief.result(timeout=20)


def test_a_worker_tries_again_where_somebody_else_has_the_chief_s_port() -> None:
    workers = addresses(2)
    host, port = workers[0].split(":")

    def serve_once(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.sendall(b"\x00\x00\x12\x04\xff\xff\n")  # as a gRPC server greets
        connection.close()
        listener.close()

    stranger = threading.Thread(target=serve_once, args=[socket.create_server((host, int(port)))])
    stranger.start()
    with calling(workers, 1, seconds=20) as (worker,):
        stranger.join(timeout=20)
        meet(workers, 0, seconds=20)
        worker.result(timeout=20)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mine = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(UserError, match=f"worker 0 cannot listen on {mine}: Address already in use"):
            meet([mine, *addresses(1)], 0, seconds=5)


def test_a_name_of_another_machine_listens_on_all_addresses() -> None:
    (port,) = free_ports(1)
    workers = [f"192.0.2.1:{port}", "192.0.2.2:1"]  # as behind a Kubernetes service: not an address of this machine
    with calling(workers, 0, seconds=20) as (chief,), calling([f"127.0.0.1:{port}", ""], 1, seconds=20) as (worker,):
        chief.result(timeout=20)
        worker.result(timeout=20)
