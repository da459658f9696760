import asyncio
import gzip
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.rest.asgi import ClientGone
from charflow.serving.embedded.rest.transfer import BodyTooLarge, Workers, pack_body, unpack_body
from charflow.serving.errors import DeadlineExceeded, Internal, InvalidArgument, NotFound


@pytest.mark.parametrize("encoding", ["gzip", "GZip", "x-gzip"])
def test_unpack_body_uncompresses_gzip(encoding: str) -> None:
    packed = gzip.compress(b"hello")
    assert unpack_body([packed[:9], packed[9:]], encoding, 5) == b"hello"


def test_unpack_body_joins_what_is_not_compressed() -> None:
    assert unpack_body([b"he", b"llo"], "", 5) == b"hello"


@pytest.mark.parametrize(
    "body",
    [b"no gzip", gzip.compress(b"{}" * 1000)[:-4], gzip.compress(b"{}") * 2],
    ids=["no-gzip", "cut", "two-members"],
)
def test_unpack_body_refuses(body: bytes) -> None:
    with pytest.raises(InvalidArgument, match="Failed to uncompress the gzipped body"):
        unpack_body([body], "gzip", 10_000)


def test_unpack_body_refuses_what_grows_beyond_the_limit() -> None:
    with pytest.raises(BodyTooLarge, match="more than 100000 bytes uncompressed"):
        unpack_body([gzip.compress(b" " * 10_000_000)], "gzip", 100_000)


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("*, gzip; q=0.0", False),
        ("", False),
    ],
)
def test_pack_body_compresses_when_accepted(accepted: str, compressed: bool) -> None:
    body, headers = pack_body(b"abc" * 1000, accepted)
    assert headers["Vary"] == "Accept-Encoding"
    assert (headers.get("Content-Encoding") == "gzip") is compressed
    assert (gzip.decompress(body) if compressed else body) == b"abc" * 1000


def test_pack_body_leaves_a_tiny_answer() -> None:
    assert pack_body(b"abc", "gzip") == (b"abc", {})


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def stays() -> Any:
    await asyncio.sleep(60)


async def leaves() -> Any:
    await asyncio.sleep(0.05)
    return {"type": "http.disconnect"}


def run(*works: Callable[[], object], receives: Callable[[], Any] = stays, deadline: Deadline = NEVER) -> list[Any]:
    """What requests that come at once give, with one thread for all."""

    async def gather() -> list[Any]:
        workers = Workers(1, max_queued=10)
        return await asyncio.gather(*[workers.run(work, receives, deadline) for work in works], return_exceptions=True)

    return asyncio.run(gather())


def test_workers_give_what_the_work_gives() -> None:
    assert run(lambda: 1, lambda: 2, deadline=Deadline.after(10)) == [1, 2]


def test_workers_raise_serving_errors_and_log_others(caplog: pytest.LogCaptureFixture) -> None:
    def missing() -> None:
        raise NotFound("no model")

    with caplog.at_level(logging.ERROR):
        known, unknown = run(missing, lambda: 1 / 0)
    assert isinstance(known, NotFound) and isinstance(unknown, Internal)
    assert caplog.text.count("ZeroDivisionError") == 1 and "no model" not in caplog.text


def test_workers_refuse_a_late_request_at_once_and_drop_what_waits(gate: threading.Event) -> None:
    began: list[int] = []

    def work() -> None:
        began.append(1)
        gate.wait(20)

    start = time.monotonic()
    results = run(work, work, deadline=Deadline.after(0.2))
    assert time.monotonic() - start < 5
    assert [type(result) for result in results] == [DeadlineExceeded, DeadlineExceeded]
    gate.set()
    time.sleep(0.05)
    assert len(began) == 1


def test_workers_forget_a_client_that_leaves(gate: threading.Event) -> None:
    began: list[int] = []
    results = run(lambda: gate.wait(20), lambda: began.append(1), receives=leaves)
    gate.set()
    time.sleep(0.05)
    assert [type(result) for result in results] == [ClientGone, ClientGone]
    assert began == []
