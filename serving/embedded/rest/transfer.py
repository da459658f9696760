"""Moves the bodies of REST requests and answers: limits, gzip, worker threads and their deadline.

`app` reads a request's body here, has it worked on in a thread, and gets back the bytes to send.
"""

import asyncio
import gzip
import logging
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.rest.asgi import ClientGone, Receive
from charflow.serving.errors import Internal, InvalidArgument, ResourceExhausted, ServingError

_GZIP_LEVEL = 1  # of 1e6 random floats: 0.14 s to 44 %; level 6 takes 0.64 s to 39 %
_SMALLEST_GZIPPED = 1024  # bytes: below this the answer fits a packet either way
_GZIP_WINDOW = 31  # 15 bits of window, 16 for a gzip header

_logger = logging.getLogger(__name__)
T = TypeVar("T")


_MOST_UNCOMPRESSED = 10 * 2**20  # bytes of a gzipped body; TensorFlow Serving's bound: zeros shrink a thousandfold


class BodyTooLarge(ResourceExhausted):
    """A body that was refused, perhaps before all of it was read: the connection cannot be used further."""


class Workers:
    """Threads that a fixed number of requests at once have; the others wait.

    A thread pool of its own and not anyio's limiter, which can do one of two things with a request that is late: give
    its place back while its thread still runs, so that there are more threads than allowed, or answer it when its
    thread ends and not when its time is up.
    """

    def __init__(self, threads: int, *, max_queued: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rest")
        self._places = threading.Semaphore(threads + max_queued)

    async def run(self, work: Callable[[], T], receive: Receive, deadline: Deadline) -> T:
        """Runs `work` in a thread, as long as the deadline is ahead and the client there.

        Raises:
            ServingError: what `work` raised; Internal for any other exception, which is logged.
            DeadlineExceeded: the time is up. Work that has begun goes on in its thread; other work is dropped.
            ClientGone: the client went; likewise.
            ResourceExhausted: too many requests wait for a thread.
        """
        if not self._places.acquire(blocking=False):
            raise ResourceExhausted("Concurrent request limit exceeded: too many wait for a thread")
        place = self._pool.submit(_guard, work)
        place.add_done_callback(lambda _: self._places.release())
        job = asyncio.wrap_future(place)
        gone = asyncio.ensure_future(_wait_for_disconnect(receive))
        waiting: set[asyncio.Future[Any]] = {job, gone}
        try:
            await asyncio.wait(
                waiting, timeout=None if deadline == NEVER else deadline.left(), return_when=asyncio.FIRST_COMPLETED
            )
            if job.done():
                return job.result()
            if gone.done():
                raise ClientGone
            late = deadline.error()
            late.counted = not place.cancel()  # work that has begun ends in the core, which counts it
            raise late
        finally:
            place.cancel()  # at once; through `job` only the event loop's next turn would
            job.cancel()
            gone.cancel()
            # An error that is raised here has this frame in its traceback, and the futures have the error: without
            # this, all that the request made would stay until the garbage collector comes.
            del place, job, waiting


class Held:
    """Counts the bytes of all bodies that are there at the same time, and refuses those beyond a limit."""

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0

    def add(self, size: int) -> None:
        """Takes in a part.

        Raises:
            BodyTooLarge: all bodies together have more than the limit.
        """
        if self._bytes + size > self._limit:
            raise BodyTooLarge(f"Too many bodies at the same time: all together have more than {self._limit} bytes")
        self._bytes += size

    def drop(self, size: int) -> None:
        """Gives parts back."""
        self._bytes -= size


async def read_body(receive: Receive, length: str, limit: int, held: Held) -> list[bytes]:
    """Reads the body of a request, in the parts it comes in; `length` is what its Content-Length says.

    The caller drops from `held` what comes back.

    Raises:
        BodyTooLarge: it has more than `limit` bytes, or says so; or there are too many bodies.
        ClientGone: the client went.
    """
    too_large = BodyTooLarge(f"The request's body has more than {limit} bytes")
    if length.isdecimal() and int(length) > limit:
        raise too_large
    parts: list[bytes] = []
    total = 0
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            if total + len(part) > limit:
                raise too_large
            held.add(len(part))
            total += len(part)
            parts.append(part)
            if not message.get("more_body", False):
                return parts
    except BaseException:
        held.drop(total)
        raise


def unpack_body(parts: list[bytes], encoding: str, limit: int) -> bytes:
    """Joins a body, and uncompresses it where the Content-Encoding `encoding` has gzip in it.

    Raises:
        InvalidArgument: it is not one whole gzip member.
        BodyTooLarge: it has more than `limit` bytes uncompressed, or than a compressed one may have.
    """
    body = b"".join(parts)
    if "gzip" not in encoding.lower() or not body:
        return body
    limit = min(limit, _MOST_UNCOMPRESSED)
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidArgument(f"Failed to uncompress the gzipped body: {error}") from None
    if len(plain) > limit:
        raise BodyTooLarge(f"The request's body has more than {limit} bytes uncompressed")
    if not inflater.eof or inflater.unused_data:
        raise InvalidArgument("Failed to uncompress the gzipped body: it is cut short, or something follows it")
    return plain


def pack_body(body: bytes, accepted: str) -> tuple[bytes, dict[str, str]]:
    """Compresses an answer where its size is worth it and the Accept-Encoding `accepted` allows; and its headers."""
    if len(body) < _SMALLEST_GZIPPED:
        return body, {}
    headers = {"Vary": "Accept-Encoding"}
    if not _accepts_gzip(accepted):
        return body, headers
    return gzip.compress(body, _GZIP_LEVEL), {**headers, "Content-Encoding": "gzip"}


def _guard(work: Callable[[], T]) -> T:
    try:
        return work()
    except ServingError:
        raise
    except Exception:  # logged here and not by who waits: nobody may
        _logger.exception("A REST request failed")
        raise Internal("Internal error: the server's log says more") from None


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _accepts_gzip(accepted: str) -> bool:
    weights = {}
    for part in accepted.lower().split(","):
        coding, _, parameters = part.partition(";")
        name, _, weight = parameters.strip().partition("=")
        weights[coding.strip()] = name.strip() != "q" or weight.strip(" 0.") != ""
    return weights.get("gzip", weights.get("*", False))
