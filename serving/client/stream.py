"""Writes one text in chunks, over the `stream` signature: each answer's state goes into the next request.

The server keeps nothing between the chunks, so any replica may take the next one. All come from one version: states
of another model's weights would make no sense, even if they had the same size.
"""

from collections.abc import Mapping
from typing import Any

from charflow.serving.client.arguments import (
    ArgumentError,
    Tensor,
    int_between,
    sampler_columns,
    setting_columns,
    texts_of,
)
from charflow.serving.client.calls import Calls, with_defaults
from charflow.serving.client.wire import answers
from charflow.serving.errors import Internal, NotFound

_chunk_chars = int_between(1, 2**31 - 1)


class Stream:
    """A text that is being written.

    Each call of `next_text` has the whole timeout to itself: the time between two calls is the reader's.

    A limit on completions that was set at export holds for each chunk, not for the stream: the text of a stream is
    that of `generate`, and goes on to `max_chars` where `generate` is cut.

    Args:
        calls: the served model.
        prompt: what to continue.
        settings: as for `Calls.generate`, without lists.
        chunk_chars: most characters of a chunk.

    Raises:
        ArgumentError: an argument is out of range; of a setting that only the model's metadata tell of, `next_text`
            raises it.
    """

    def __init__(self, calls: Calls, prompt: str, settings: Mapping[str, Any], chunk_chars: int) -> None:
        if not isinstance(prompt, str):
            raise ArgumentError(f"A stream has one prompt, a str, not {type(prompt).__name__}.")
        for name, value in settings.items():
            if isinstance(value, (list, tuple)):
                raise ArgumentError(f"{name} must be one value, not a list: a stream has one prompt.")
        self._calls = calls
        self._prompts = texts_of(prompt, "prompt")[0]
        self._settings = settings
        self._given = setting_columns(settings, 1)
        self._chunk_chars = _chunk_chars("chunk_chars", chunk_chars)
        self._inputs: dict[str, Tensor] = {}
        self._version = 0
        self._left = 0
        self._begun = self._done = False

    async def next_text(self) -> str | None:
        """Writes the next chunk; None at the end.

        Raises:
            ArgumentError: the model has no such setting, or its value does not fit.
            NotFound: the version that began the text is no longer served.
            ServingError: what else the server said.
        """
        if self._done:
            return None
        deadline = self._calls.retry.deadline()
        if not self._inputs:
            await self._begin(deadline)
        asked = min(self._chunk_chars, self._left)
        if asked == 0:
            self._done = True
            return None
        inputs = {**self._inputs, "max_chars": Tensor("DT_INT32", [asked])}
        try:
            outputs = await self._calls.ask(
                "stream", inputs, answers.STREAM, deadline, version=self._version, patient=self._begun
            )
        except NotFound as error:
            raise NotFound(
                f"Version {self._version} of model {self._calls.target.model!r} is gone, and no other can continue "
                f"its text: {error.message.rstrip('.')}."
            ) from error
        return self._advance(outputs, asked)

    async def _begin(self, deadline: float) -> None:
        metadata = await self._calls.metadata(deadline)
        signature = metadata.signature("stream")
        state = signature.inputs.get("state")
        if state is None or state.shape is None or len(state.shape) != 2 or state.shape[1] is None:
            raise Internal(f"The state of signature 'stream' of model {metadata.name!r} has no fixed size.")
        given = self._given | sampler_columns(self._settings, signature.settings, 1)
        columns = with_defaults(given, signature, 1)
        self._version = metadata.version
        self._left = columns.pop("max_chars").rows[0]
        self._inputs = {
            **columns,
            "prompt": Tensor("DT_STRING", self._prompts),
            "state": Tensor("DT_FLOAT", [[0.0] * state.shape[1]]),
            "position": Tensor("DT_INT64", [0]),
        }

    def _advance(self, outputs: Mapping[str, Any], asked: int) -> str | None:
        self._begun = True
        text: str = outputs["text"][0]
        length: int = outputs["length"][0]
        if not 0 <= length <= asked:
            raise Internal(f"The server wrote {length} characters where at most {asked} were asked for.")
        self._left -= length
        # Fewer than asked for is the limit of the export, and the next chunk goes on; nothing at all never will.
        self._done = self._left == 0 or length == 0 or outputs["finish_reason"][0] != "length"
        self._inputs |= {
            "prompt": Tensor("DT_STRING", [""]),
            "state": Tensor("DT_FLOAT", outputs["state"]),
            "position": Tensor("DT_INT64", outputs["position"]),
        }
        return text or None
