"""The blocking client. `calls` and `stream` say what is sent; `async_client` is its twin for asyncio."""

import time
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

from charflow.serving.client.arguments import Floats, Ints, Strings, Texts
from charflow.serving.client.calls import Calls
from charflow.serving.client.results import Completion, ModelMetadata, NextChars, Score
from charflow.serving.client.retry import Retry
from charflow.serving.client.stream import Stream
from charflow.serving.client.wire.protocols import open_transport
from charflow.serving.client.wire.tls import Tls, tls_of
from charflow.serving.client.wire.transport import Target, checked_address
from charflow.serving.version_status import VersionStatus

Result = TypeVar("Result")

DEFAULT_MODEL = "default"  # as `charflow serve` and TensorFlow Serving name a model without a name


class Client:
    """Calls a served model. One client can be shared by threads.

    A str gives one result, a list of str a list. Settings that are None take the model's own defaults, which are read
    from the server once (`metadata` and `stream` read them anew). Lists of more than `max_batch` texts are sent as
    several requests, one after another.

    Args:
        address: HOST:PORT; of the gRPC port (8500 by habit) or of the REST port (8501).
        protocol: "grpc" or "rest". Neither loads TensorFlow.
        model: the name it is served under.
        version: this one; None takes the highest that is available.
        label: the version this label stands for.
        timeout: seconds for a whole call, its retries included; each chunk of a stream is a call.
        retries: most tries after the first while the server is unavailable; once a stream or a list of texts has begun
            to be answered, it is tried as long as the timeout allows, unless this is 0.
        tls: certificates; True trusts the roots of this system; None does not encrypt.
        max_batch: most texts of a request.

    >>> with Client("127.0.0.1:8500", model="a") as client:  # doctest: +SKIP
    ...     print(client.generate("how do i ", seed=7, temperature=0.8).text)
    ...     for piece in client.stream("how do i ", seed=7, max_chars=2000):
    ...         print(piece, end="", flush=True)

    Raises:
        ArgumentError (a ValueError): an argument is out of range; nothing was sent.
        ServingError: what the server said, as the class of its code.
        Unreachable (an Unavailable): no server answers at the address, or not in this protocol.
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
        retry = Retry(address=checked_address(address), timeout=timeout, retries=retries, pause=_pause)
        target = Target(model, version, label)
        transport = open_transport(address, protocol, tls_of(tls), blocking=True)
        self._calls = Calls(transport, target, retry, max_batch)

    @overload
    def complete(self, prompts: str) -> str: ...
    @overload
    def complete(self, prompts: Texts) -> list[str]: ...
    def complete(self, prompts: str | Texts) -> Any:
        """Continues prompts with the settings chosen at export, all with the seed chosen there (`serving_default`)."""
        return _run(self._calls.complete(prompts))

    @overload
    def generate(
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
    def generate(
        self,
        prompts: Texts,
        *,
        max_chars: Ints = None,
        temperature: Floats = None,
        seed: Ints = None,
        stop: Strings = None,
        **samplers: Floats,
    ) -> list[Completion]: ...
    def generate(
        self,
        prompts: str | Texts,
        *,
        max_chars: Ints = None,
        temperature: Floats = None,
        seed: Ints = None,
        stop: Strings = None,
        **samplers: Floats,
    ) -> Any:
        """Continues prompts.

        Args:
            prompts: one or several; an empty one begins a message.
            max_chars: most characters to write; a limit set at export may cut it.
            temperature: 1 is the model itself, lower is safer, 0 takes the most likely character.
            seed: same seed, same text; prompt i of several has seed + i, as in `charflow.model.Generator`.
            stop: writing this ends the text; "" is off.
            samplers: what else the served model can be set by, such as `top_k=5` or `top_p=0.9`: its metadata name
                these settings and their types. The model takes a value out of range as the nearest in range.

        Each setting is one value for all prompts, or a list with one for each.

        Raises:
            ArgumentError: a value does not fit, or the model has no such setting; the sentence lists what it has.
        """
        settings = {"max_chars": max_chars, "temperature": temperature, "seed": seed, "stop": stop, **samplers}
        return _run(self._calls.generate(prompts, settings))

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
    ) -> Generator[str, None, None]:
        """Continues a prompt in chunks of at most `chunk_chars` characters.

        Joined, they are the text of `generate` with the same settings; beyond the limit on completions that was set
        at export, where `generate` is cut, the stream goes on. All chunks come from the version of the model that is
        served when the first is read; if it is unloaded, NotFound says so. Nothing is sent before the first chunk is
        asked for, or after the last; leaving the loop early leaves nothing behind.
        """
        settings = {"max_chars": max_chars, "temperature": temperature, "seed": seed, "stop": stop, **samplers}
        written = Stream(self._calls, prompt, settings, chunk_chars)

        def chunks() -> Generator[str, None, None]:
            while (text := _run(written.next_text())) is not None:
                yield text

        return chunks()

    @overload
    def next_char(self, prompts: str) -> NextChars: ...
    @overload
    def next_char(self, prompts: Texts) -> list[NextChars]: ...
    def next_char(self, prompts: str | Texts) -> Any:
        """Ranks what may follow each prompt, most likely first."""
        return _run(self._calls.next_char(prompts))

    @overload
    def score(self, texts: str) -> Score: ...
    @overload
    def score(self, texts: Texts) -> list[Score]: ...
    def score(self, texts: str | Texts) -> Any:
        """Says how likely each text is, as what follows a message boundary."""
        return _run(self._calls.score(texts))

    def status(self) -> list[VersionStatus]:
        """Lists the versions of the model, highest first, with their states."""
        return _run(self._calls.status())

    def metadata(self) -> ModelMetadata:
        """Reads the signatures, their defaults and the real version."""
        return _run(self._calls.metadata())

    def close(self) -> None:
        """Closes the connection; the client cannot be used any more."""
        _run(self._calls.close())

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Runs a coroutine to its end at once; with a blocking transport it never waits for a loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    coroutine.close()
    raise RuntimeError("A coroutine of the blocking client waited for a loop.")
