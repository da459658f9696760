"""Tries again while the server is unavailable, and never longer than asked."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from charflow.serving import DeadlineExceeded, InvalidArgument, Unavailable
from charflow.serving.client import retry
from charflow.serving.client.retry import Retry
from tests.serving.client.fake_model import Refused


@pytest.fixture
def fail(backend: Any) -> Callable[..., None]:
    """Makes the next answers errors."""

    def fail(times: int, code: str = "UNAVAILABLE") -> None:
        backend.errors = [Refused(code, f"failure {index}") for index in range(times)]

    return fail


def test_unavailable_server_is_tried_again(client: Any, fail: Callable, backend: Any) -> None:
    expected = client.complete("a")
    fail(3)
    assert client.complete("a") == expected
    assert backend.calls == 5


def test_retries_are_counted_for_each_request(connect: Callable[..., Any], fail: Callable, backend: Any) -> None:
    client = connect(retries=2)
    fail(3)
    with pytest.raises(Unavailable, match=r"^failure 2$"):
        client.complete("a")
    assert backend.calls == 3
    fail(1)
    assert len(client.complete("a")) == 12


def test_without_retries_one_failure_is_enough(connect: Callable[..., Any], fail: Callable, backend: Any) -> None:
    fail(1)
    with pytest.raises(Unavailable):
        connect(retries=0).complete("a")
    assert backend.calls == 1


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "INTERNAL", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"])
def test_other_errors_are_not_tried_again(client: Any, fail: Callable, backend: Any, code: str) -> None:
    fail(1, code)
    with pytest.raises(Exception, match=r"^failure 0$"):
        client.complete("a")
    assert backend.calls == 1


def test_slow_answer_ends_at_the_deadline(
    connect: Callable[..., Any], backend: Any, servers: Any, protocol: str
) -> None:
    client = connect(timeout=0.3)
    backend.delay = 1.0
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        client.complete("a")
    assert 0.25 < time.monotonic() - began < 0.8
    assert caught.value.message == f"{servers.addresses[protocol]}: no answer within 0.3 s."


@pytest.mark.slow
def test_deadline_bounds_all_requests_of_a_call(connect: Callable[..., Any], backend: Any) -> None:
    client = connect(timeout=0.7, max_batch=1)
    client.metadata()
    backend.delay = 0.2
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r": no answer within 0\.7 s\.$"):
        client.generate(["a"] * 10)
    assert time.monotonic() - began < 1.2


def test_deadline_bounds_the_tries(connect: Callable[..., Any], fail: Callable) -> None:
    client = connect(timeout=0.5, retries=1000)
    fail(1000)
    began = time.monotonic()
    with pytest.raises((Unavailable, DeadlineExceeded)):
        client.complete("a")
    assert time.monotonic() - began < 0.8


@pytest.mark.slow
def test_each_chunk_of_a_stream_has_the_whole_time(connect: Callable[..., Any]) -> None:
    pieces = connect(timeout=0.5).stream("a", max_chars=12, chunk_chars=4)
    for _ in range(3):
        assert len(next(pieces)) == 4
        time.sleep(0.3)


def test_pauses_grow_evenly_drawn_up_to_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, float]] = []
    paused: list[float] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return high / 4

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    async def request(timeout: float) -> None:
        raise Unavailable("no")

    monkeypatch.setattr(retry.random, "uniform", uniform)
    policy = Retry(address="a:1", timeout=60, retries=8, pause=pause)
    with pytest.raises(Unavailable):
        asyncio.run(policy.ask(request, policy.deadline()))
    assert [high for _, high in drawn] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])
    assert {low for low, _ in drawn} == {0}
    assert paused == [high / 4 for _, high in drawn[:8]]


def test_requests_are_given_the_time_that_is_left() -> None:
    given: list[float] = []

    async def request(timeout: float) -> None:
        given.append(timeout)
        if len(given) < 3:
            raise Unavailable("no")
        raise InvalidArgument("wrong")

    async def pause(_: float) -> None:
        time.sleep(0.05)

    policy = Retry(address="a:1", timeout=10, retries=5, pause=pause)
    with pytest.raises(InvalidArgument):
        asyncio.run(policy.ask(request, policy.deadline()))
    assert 9.5 < given[0] <= 10
    assert 9 < given[2] <= 9.9  # two pauses later
