"""The fake servers, and a way to call either client over either protocol with the same test."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from charflow.serving import AsyncClient, Client
from tests.serving.client.fake_servers import FakeServers


class InLoop:
    """An `AsyncClient` whose methods wait in a loop of their own, so that one test fits both clients."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = AsyncClient(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name == "stream":
            return lambda *arguments, **options: self._chunks(method(*arguments, **options))  # checked at once
        return lambda *arguments, **options: self._loop.run_until_complete(method(*arguments, **options))

    def _chunks(self, chunks: Any) -> Iterator[str]:
        while True:
            try:
                piece = self._loop.run_until_complete(anext(chunks))
            except StopAsyncIteration:
                return
            yield piece

    def end_loop(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


@pytest.fixture(scope="session")
def all_servers() -> Iterator[Any]:
    started = FakeServers()
    yield started
    started.stop()


@pytest.fixture
def servers(all_servers: Any) -> Any:
    """Both servers, with a fresh fake model."""
    all_servers.reset()
    return all_servers


@pytest.fixture
def backend(servers: Any) -> Any:
    """The fake model and its switches."""
    return servers.backend


@pytest.fixture(params=["grpc", "rest", "grpc asyncio", "rest asyncio"])
def way(request: pytest.FixtureRequest) -> str:
    """Which protocol, and which client."""
    return request.param


@pytest.fixture
def protocol(way: str) -> str:
    return way.split()[0]


@pytest.fixture
def connect(way: str, protocol: str, servers: Any) -> Iterator[Callable[..., Any]]:
    """Makes clients of the fake model, or of another address."""
    made = []

    def connect(address: str | None = None, **options: Any) -> Any:
        kind = InLoop if "asyncio" in way else Client
        made.append(kind(address or servers.addresses[protocol], protocol, **{"model": "fake", **options}))
        return made[-1]

    yield connect
    for client in made:
        client.close()
        if isinstance(client, InLoop):
            client.end_loop()


@pytest.fixture
def client(connect: Callable[..., Any]) -> Any:
    return connect()
