"""The calls of both clients: what they send, and what they make of the answers.

`client` and `async_client` run these coroutines; a `Transport` carries the requests, `retry` repeats them. B is the
number of rows of a request, at most `max_batch`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from charflow.serving.client.arguments import (
    SETTINGS,
    ArgumentError,
    Tensor,
    Texts,
    int_between,
    repeated,
    sampler_columns,
    setting_columns,
    texts_of,
)
from charflow.serving.client.results import Completion, ModelMetadata, NextChars, Score, Signature
from charflow.serving.client.retry import Retry
from charflow.serving.client.wire import answers
from charflow.serving.client.wire.transport import Target, Transport
from charflow.serving.errors import FailedPrecondition
from charflow.serving.version_status import VersionStatus

Result = TypeVar("Result")


@dataclass
class Calls:
    """One served model.

    Attributes:
        transport: carries requests.
        target: the model.
        retry: how long, and how often.
        max_batch: most rows of a request.
    """

    transport: Transport
    target: Target
    retry: Retry
    max_batch: int
    _metadata: ModelMetadata | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.max_batch = int_between(1, 2**31 - 1)("max_batch", self.max_batch)

    async def complete(self, prompts: str | Texts) -> Any:
        """A text, or a list of them."""
        rows, one = texts_of(prompts, "prompt")
        inputs = {"prompt": Tensor("DT_STRING", rows)}
        outputs = await self._predict("serving_default", inputs, answers.COMPLETE, self.retry.deadline())
        return _one_or_all(outputs["text"], one)

    async def generate(self, prompts: str | Texts, settings: Mapping[str, Any]) -> Any:
        """A `Completion`, or a list of them."""
        rows, one = texts_of(prompts, "prompt")
        columns = setting_columns(settings, len(rows))
        deadline = self.retry.deadline()
        signature = (await self.cached_metadata(deadline)).signature("generate")
        columns |= sampler_columns(settings, signature.settings, len(rows))
        inputs = {"prompt": Tensor("DT_STRING", rows), **with_defaults(columns, signature, len(rows))}
        outputs = await self._predict("generate", inputs, answers.GENERATE, deadline)
        return _one_or_all([Completion(*row) for row in zip(*outputs.values())], one)

    async def next_char(self, prompts: str | Texts) -> Any:
        """A `NextChars`, or a list of them."""
        rows, one = texts_of(prompts, "prompt")
        inputs = {"prompt": Tensor("DT_STRING", rows)}
        outputs = await self._predict("next_char", inputs, answers.NEXT_CHAR, self.retry.deadline())
        found = [NextChars(tuple(chars), tuple(likely)) for chars, likely in zip(*outputs.values())]
        return _one_or_all(found, one)

    async def score(self, texts: str | Texts) -> Any:
        """A `Score`, or a list of them."""
        rows, one = texts_of(texts, "text")
        inputs = {"text": Tensor("DT_STRING", rows)}
        outputs = await self._predict("score", inputs, answers.SCORE, self.retry.deadline())
        found = [
            Score(bits, tuple(log_probs[:length]), length, *rest)  # beyond its length a row is padding
            for bits, log_probs, length, *rest in zip(*outputs.values())
        ]
        return _one_or_all(found, one)

    async def status(self) -> list[VersionStatus]:
        """The versions and their states."""
        return await self._ask(lambda timeout: self.transport.status(self.target, timeout), self.retry.deadline())

    async def metadata(self, deadline: float | None = None) -> ModelMetadata:
        """The signatures as they are now; what later calls take their defaults from."""
        self._metadata = await self._ask(
            lambda timeout: self.transport.metadata(self.target, timeout), deadline or self.retry.deadline()
        )
        return self._metadata

    async def cached_metadata(self, deadline: float) -> ModelMetadata:
        """The signatures as they were when first asked for."""
        return self._metadata or await self.metadata(deadline)

    async def ask(
        self,
        signature: str,
        inputs: Mapping[str, Tensor],
        expected: Mapping[str, Any],
        deadline: float,
        *,
        version: int | None = None,
        patient: bool = False,
    ) -> dict[str, Any]:
        """Runs a signature on one batch, of the given version rather than the target's, and checks the answer."""
        target = self.target if version is None else replace(self.target, version=version, label=None)
        outputs = await self._ask(
            lambda timeout: self.transport.predict(target, signature, inputs, timeout), deadline, patient=patient
        )
        n_rows = len(next(iter(inputs.values())).rows)
        return answers.checked(outputs, expected, n_rows, signature)

    async def close(self) -> None:
        """Closes the connections; later calls are refused, whatever the transport would say of them."""
        self._closed = True
        await self.transport.close()

    async def _ask(
        self, request: Callable[[float], Awaitable[Result]], deadline: float, *, patient: bool = False
    ) -> Result:
        if self._closed:
            raise ArgumentError("The client is closed: make another.")
        return await self.retry.ask(request, deadline, patient=patient)

    async def _predict(
        self, signature: str, inputs: Mapping[str, Tensor], expected: Mapping[str, Any], deadline: float
    ) -> dict[str, list[Any]]:
        """Runs a signature on any number of rows, batch after batch."""
        joined: dict[str, list[Any]] = {name: [] for name in expected}
        for begin in range(0, len(next(iter(inputs.values())).rows), self.max_batch):
            batch = {name: tensor.cut(begin, begin + self.max_batch) for name, tensor in inputs.items()}
            for name, rows in (await self.ask(signature, batch, expected, deadline, patient=begin > 0)).items():
                joined[name] += rows
        return joined


def with_defaults(columns: Mapping[str, Tensor], signature: Signature, n_rows: int) -> dict[str, Tensor]:
    """Adds the settings that were not given, so that no input is left out.

    REST must name every input, and batching on the server needs as many rows of each.

    Raises:
        FailedPrecondition: the model has no default for one of them.
    """
    full = dict(columns)
    dtypes = {name: dtype for name, (dtype, _) in SETTINGS.items()} | signature.settings
    for name, dtype in dtypes.items():
        if name in full:
            continue
        if name not in signature.defaults:
            raise FailedPrecondition(f"The model has no default for {name}: pass one.")
        full[name] = Tensor(dtype, repeated(name, signature.defaults[name][0], n_rows))  # a default has one row
    return full


def _one_or_all(results: list[Result], one: bool) -> Result | list[Result]:
    return results[0] if one else results
