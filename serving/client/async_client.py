"""The client for asyncio: the twin of `client`, with the same arguments, results and errors."""

import asyncio
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Literal, overload

from charflow.serving.client.arguments import Floats, Ints, Strings, Texts
from charflow.serving.client.calls import Calls
from charflow.serving.client.client import DEFAULT_MODEL
from charflow.serving.client.results import Completion, ModelMetadata, NextChars, Score
from charflow.serving.client.retry import Retry
from charflow.serving.client.stream import Stream
from charflow.serving.client.wire.protocols import open_transport
from charflow.serving.client.wire.tls import Tls, tls_of
from charflow.serving.client.wire.transport import Target, checked_address
from charflow.serving.version_status import VersionStatus


class AsyncClient:
    """Calls a served model from coroutines of one event loop; see `Client` for the arguments, results and errors.

    >>> async with AsyncClient("127.0.0.1:8501", "rest", model="a") as client:  # doctest: +SKIP
    ...     texts = await asyncio.gather(*(client.generate("how do i ", seed=seed) for seed in range(8)))
    ...     async for piece in client.stream("how do i ", seed=7):
    ...         print(piece, end="", flush=True)
    """

    def __init__(
        self,
        address: str,
        protocol: Literal["grpc", "rest"] = "grpc",
        *,
        model: str = DEFAULT_MODEL,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        tls: Tls | bool | None = None,
        max_batch: int = 128,
    ) -> None:
        retry = Retry(address=checked_address(address), timeout=timeout, retries=retries, pause=asyncio.sleep)
        target = Target(model, version, label)
        transport = open_transport(address, protocol, tls_of(tls), blocking=False)
        self._calls = Calls(transport, target, retry, max_batch)

    @overload
    async def complete(self, prompts: str) -> str: ...
    @overload
    async def complete(self, prompts: Texts) -> list[str]: ...
    async def complete(self, prompts: str | Texts) -> Any:
        """As `Client.complete`."""
        return await self._calls.complete(prompts)

    @overload
    async def generate(
        self,
        prompts: str,
        *,
        max_chars: Ints = None,
        temperature: Floats = None,
        seed: Ints = None,
        stop: Strings = None,
        **samplers: Floats,
    ) -> Completion: ...
    @overload
    async def generate(
        self,
        prompts: Texts,
        *,
        max_chars: Ints = None,
        temperature: Floats = None,
        seed: Ints = None,
        stop: Strings = None,
        **samplers: Floats,
    ) -> list[Completion]: ...
    async def generate(
        self,
        prompts: str | Texts,
        *,
        max_chars: Ints = None,
        temperature: Floats = None,
        seed: Ints = None,
        stop: Strings = None,
        **samplers: Floats,
    ) -> Any:
        """As `Client.generate`."""
        settings = {"max_chars": max_chars, "temperature": temperature, "seed": seed, "stop": stop, **samplers}
        return await self._calls.generate(prompts, settings)

    def stream(
        self,
        prompt: str,
        *,
        chunk_chars: int = 32,
        max_chars: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        stop: str | None = None,
        **samplers: float | None,
    ) -> AsyncGenerator[str, None]:
        """As `Client.stream`, for `async for`."""
        settings = {"max_chars": max_chars, "temperature": temperature, "seed": seed, "stop": stop, **samplers}
        written = Stream(self._calls, prompt, settings, chunk_chars)

        async def chunks() -> AsyncGenerator[str, None]:
            while (text := await written.next_text()) is not None:
                yield text

        return chunks()

    @overload
    async def next_char(self, prompts: str) -> NextChars: ...
    @overload
    async def next_char(self, prompts: Texts) -> list[NextChars]: ...
    async def next_char(self, prompts: str | Texts) -> Any:
        """As `Client.next_char`."""
        return await self._calls.next_char(prompts)

    @overload
    async def score(self, texts: str) -> Score: ...
    @overload
    async def score(self, texts: Texts) -> list[Score]: ...
    async def score(self, texts: str | Texts) -> Any:
        """As `Client.score`."""
        return await self._calls.score(texts)

    async def status(self) -> list[VersionStatus]:
        """As `Client.status`."""
        return await self._calls.status()

    async def metadata(self) -> ModelMetadata:
        """As `Client.metadata`."""
        return await self._calls.metadata()

    async def close(self) -> None:
        """As `Client.close`."""
        await self._calls.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
