"""Writes the texts of a request together, piece by piece, over the signature `stream` of an exported model.

`answers` puts them into JSON. The texts that are not done are the batch of the next call, B of them; each has the seed
of the first and its own place among all, so the same request writes the same texts. Stop strings are looked for here:
the model knows one, of 32 characters, and its text has it.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from charflow.serving.embedded.core.signature import ServedSignature, TensorSpec
from charflow.serving.embedded.core.spec import Answer, ModelSpec
from charflow.serving.embedded.rest.completions.request import CompletionRequest
from charflow.serving.errors import FailedPrecondition, InvalidArgument

SIGNATURE = "stream"
_CARRIED = ("state", "position")
_NEEDED = ("prompt", "max_chars", "seed", *_CARRIED)
_OURS = frozenset(("prompt", "max_chars", "stop", *_CARRIED))  # inputs that no field of a request sets by its name

Predict = Callable[[ModelSpec, Callable[[ServedSignature], Mapping[str, np.ndarray]]], Answer]


class Text:
    """One text that is being written.

    Attributes:
        index: among the texts of the request.
        prompt: what it continues.
        text: what has been written, without the stop string.
        reason: "stop" or "length" when it is done; None before.
    """

    def __init__(self, index: int, prompt: str, max_tokens: int) -> None:
        self.index, self.prompt, self.text = index, prompt, ""
        self.left = max_tokens
        self.reason: str | None = None if max_tokens else "length"
        self.carried: dict[str, np.ndarray] = {}  # of the next call
        self._given = 0

    def take(self, written: str, length: int, reason: str, stops: tuple[str, ...]) -> None:
        """Adds what a call wrote."""
        searched = max(0, len(self.text) - max(map(len, stops), default=0) + 1)
        self.text += written
        self.left -= length
        found = [place for stop in stops if (place := self.text.find(stop, searched)) >= 0]
        if found:
            self.text, self.reason = self.text[: min(found)], "stop"
        elif reason != "length":
            self.reason = "stop"
        elif self.left <= 0 or not length:
            self.reason = "length"

    def fresh(self, stops: tuple[str, ...]) -> tuple[int, int]:
        """What may be given now and was not yet, as places in `text`: not what might be a stop string's beginning."""
        held = 0
        if self.reason is None:
            ends = (stop[:size] for stop in stops for size in range(1, len(stop)))
            held = max((len(end) for end in ends if self.text.endswith(end)), default=0)
        start, self._given = self._given, max(self._given, len(self.text) - held)
        return start, self._given


class Writing:
    """The texts of one request.

    Args:
        request: what is asked for.

    Attributes:
        texts: one for each prompt and each of `n`, those of a prompt side by side.
        spec: the model; from the first call on the version that answered, so that one version writes all.
    """

    def __init__(self, request: CompletionRequest) -> None:
        self._request = request
        self.spec = replace(request.spec, signature=SIGNATURE)
        prompts = [prompt for prompt in request.prompts for _ in range(request.n)]
        self.texts = [Text(index, prompt, request.max_tokens) for index, prompt in enumerate(prompts)]
        seed = request.settings["seed"]
        self._seed = secrets.randbits(62) if seed is None else seed

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to write."""
        return all(text.reason for text in self.texts)

    def go_on(self, predict: Predict, most: int) -> None:
        """Writes up to `most` characters of each text that is not done, if there is one.

        Raises:
            ServingError: as the model answers; InvalidArgument also for a setting that it does not have.
        """
        texts = [text for text in self.texts if text.reason is None]
        if not texts:
            return
        asked = [min(most, text.left) for text in texts]
        answer = predict(self.spec, lambda signature: self._inputs(signature, texts, asked))
        self.spec = replace(self.spec, version=answer.version, label=None)
        columns = (answer.outputs[name] for name in ("text", "length", "finish_reason"))
        for row, (text, written, length, reason) in enumerate(zip(texts, *columns, strict=True)):
            text.carried = {name: answer.outputs[name][row : row + 1] for name in _CARRIED}
            text.take(written.decode(), int(length), reason.decode(), self._request.stops)

    def _inputs(self, signature: ServedSignature, texts: list[Text], asked: list[int]) -> dict[str, np.ndarray]:
        if not set(_NEEDED) <= set(signature.inputs):
            raise FailedPrecondition(f"Model {self.spec.name} does not write as a model that charflow exported does.")
        fields = {"seed": None, **self._request.settings}
        unknown = next((name for name in fields if name in _OURS or name not in signature.inputs), None)
        if unknown:
            raise InvalidArgument(f"{unknown} is not known: model {self.spec.name} has no such setting.")
        inputs = {
            "prompt": _bytes("" if text.carried else text.prompt for text in texts),
            "max_chars": np.array(asked),
            "seed": np.array([_wrapped(self._seed + text.index) for text in texts]),
            "stop": _bytes("" for _ in texts),
            **{name: _carried(name, signature.inputs[name], texts) for name in _CARRIED},
        }
        for name, spec in signature.inputs.items():
            if name in inputs:
                inputs[name] = inputs[name].astype(spec.dtype.as_numpy_dtype)
            elif name in fields:
                inputs[name] = np.repeat(_value(name, fields[name], spec), len(texts))
            else:
                inputs[name] = np.repeat(signature.defaults[name], len(texts))
        return {name: inputs[name] for name in signature.inputs}


def _bytes(texts: Any) -> np.ndarray:
    return np.array([text.encode("utf-8", "replace") for text in texts], object)


def _carried(name: str, spec: TensorSpec, texts: list[Text]) -> np.ndarray:
    shape = [1, *(size or 0 for size in (spec.shape or ())[1:])]
    start = np.zeros(shape, spec.dtype.as_numpy_dtype)
    return np.concatenate([text.carried.get(name, start) for text in texts])


def _value(name: str, value: Any, spec: TensorSpec) -> np.ndarray:
    """A setting's value as the signature has it, [1]; as everywhere, the graph takes the nearest one in its range."""
    dtype = spec.dtype
    kinds = {"bool": bool, "string": str}.get(dtype.name, (int, float) if dtype.is_floating else int)
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        wanted = {"bool": "true or false", "string": "a string"}.get(dtype.name, "a number")
        raise InvalidArgument(f"{name} must be {'a whole number' if kinds is int else wanted}.")
    if isinstance(value, str):
        return _bytes([value])
    try:
        return np.array([value], dtype.as_numpy_dtype)
    except OverflowError:
        raise InvalidArgument(f"{name} is too large.") from None


def _wrapped(seed: int) -> int:
    """A seed within int64, as TensorFlow's addition wraps it."""
    return (seed + 2**63) % 2**64 - 2**63
