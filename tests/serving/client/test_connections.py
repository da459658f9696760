"""What both clients set on their connections, over both protocols: no default of a library decides.

Each test runs the same calls four ways: blocking and for asyncio, over gRPC and over REST.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from charflow.serving import Unavailable
from tests.serving.client.fake_model import Refused


def together(client: Any, count: int) -> list[Any]:
    """Completes `count` prompts at the same time, with one client; errors are among the answers."""

    async def gathered() -> list[Any]:
        calls = (client._client.complete(f"prompt {number}") for number in range(count))
        return list(await asyncio.gather(*calls, return_exceptions=True))

    def one(number: int) -> Any:
        try:
            return client.complete(f"prompt {number}")
        except Exception as error:
            return error

    if hasattr(client, "_loop"):
        return client._loop.run_until_complete(gathered())
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes httpx's own timeouts, of 5 s each, too short for any answer."""
    for phase in ("connect", "read", "write", "pool"):
        monkeypatch.setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, phase, 0.05)


@pytest.mark.usefixtures("hasty")
@pytest.mark.slow
def test_many_calls_at_once_have_the_timeout_that_was_given(connect: Callable[..., Any], backend: Any) -> None:
    backend.delay = 0.2
    found = together(connect(timeout=30, retries=0), 64)
    assert [answer for answer in found if not isinstance(answer, str)] == []
    assert len(found) == 64


def test_many_calls_at_once_are_ended_by_it(connect: Callable[..., Any], backend: Any) -> None:
    backend.delay = 1.5
    began = time.monotonic()
    found = together(connect(timeout=0.5, retries=0), 16)
    assert {type(answer).__name__ for answer in found} == {"DeadlineExceeded"}
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"], ids=["http", "socks"])
def test_proxies_of_the_environment_are_for_the_web(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, proxy)
        monkeypatch.setenv(name.upper(), proxy)
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert len(connect(retries=0).complete("a")) == 12


@pytest.fixture
def outage(backend: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the server unavailable for more tries than are counted; pauses are short."""
    monkeypatch.setattr("charflow.serving.client.retry._LONGEST", 0.02)

    def outage() -> None:
        backend.errors = [Refused("UNAVAILABLE", f"failure {number}") for number in range(20)]

    return outage


def test_stream_outlasts_a_server_that_starts_again(connect: Callable[..., Any], outage: Callable[[], None]) -> None:
    expected = list(connect().stream("a", max_chars=12, chunk_chars=4))
    pieces = connect(retries=1).stream("a", max_chars=12, chunk_chars=4)
    found = [next(pieces)]
    outage()
    found += pieces
    assert found == expected


def test_list_that_has_begun_outlasts_it_too(
    connect: Callable[..., Any], backend: Any, outage: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = connect().complete(["a", "b"])
    predict, outages = backend.predict, [outage]

    def and_is_gone(*arguments: Any) -> Any:
        answer = predict(*arguments)
        if outages:
            outages.pop()()
        return answer

    monkeypatch.setattr(backend, "predict", and_is_gone)
    assert connect(retries=1, max_batch=1).complete(["a", "b"]) == expected


def test_what_has_not_begun_is_tried_as_often_as_asked(connect: Callable[..., Any], outage: Callable[[], None]) -> None:
    outage()
    with pytest.raises(Unavailable, match=r"^failure 2$"):
        connect(retries=2).complete("a")


def test_no_retries_are_none_in_a_stream(connect: Callable[..., Any], outage: Callable[[], None]) -> None:
    pieces = connect(retries=0).stream("a", max_chars=12, chunk_chars=4)
    next(pieces)
    outage()
    with pytest.raises(Unavailable, match=r"^failure 0$"):
        next(pieces)
