"""How likely each character of a text was, in the shape of OpenAI's `logprobs`, by the signatures `score`, `next_char`.

`answers` asks for it. The logarithms are those of the model itself, at temperature 1 and without samplers.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from charflow.serving.embedded.core.signature import ServedSignature
from charflow.serving.embedded.core.spec import ModelSpec
from charflow.serving.embedded.rest.completions.writing import Predict, Text
from charflow.serving.errors import InvalidArgument

_AT_ONCE = 128  # beginnings of a text whose next characters are ranked in one call


def char_log_probs(
    predict: Predict, spec: ModelSpec, text: Text, start: int, end: int, *, ranked: int, echo: bool
) -> dict[str, Any]:
    """Judges a part of a text.

    Args:
        predict: runs a signature.
        spec: the model and its version.
        text: what was written, and what before it.
        start: of the part, in the written text.
        end: of the part.
        ranked: how many of the likeliest characters to give beside each.
        echo: whether the prompt is judged, too.

    Raises:
        ServingError: as the model answers; InvalidArgument for a text over the limit of the export.
    """
    chars = [*(text.prompt if echo else ""), *text.text[start:end]]
    written = _scored(predict, spec, text.prompt + text.text[:end], len(text.prompt) + end)
    log_probs: list[float | None] = [*written[len(written) - (end - start) :]] if end > start else []
    if echo:  # a prompt that is read as other characters than it has is not judged one by one
        log_probs = [*written] if len(written) == len(chars) else [*[None] * len(text.prompt), *log_probs]
    offset = 0 if echo else len(text.prompt) + start
    top = None
    if ranked:
        before = [text.prompt[:i] for i in range(len(text.prompt) if echo else 0)]
        before += [text.prompt + text.text[:i] for i in range(start, end)]
        top = _ranked(predict, spec, before, ranked)
    return {
        "tokens": chars,
        "token_logprobs": log_probs,
        "top_logprobs": top,
        "text_offset": list(range(offset, offset + len(chars))),
    }


def _scored(predict: Predict, spec: ModelSpec, text: str, length: int) -> list[float]:
    """Of each character that the model reads of a text; an empty text beside it tells whether its end is scored too."""
    outputs = predict(replace(spec, signature="score"), _texts("text", ["", text])).outputs
    if outputs["truncated"][1]:
        raise InvalidArgument(f"logprobs is for shorter texts: this model does not judge {length} characters at once.")
    return outputs["char_log_probs"][1][: int(outputs["length"][1] - outputs["length"][0])].tolist()


def _ranked(predict: Predict, spec: ModelSpec, before: list[str], most: int) -> list[dict[str, float]]:
    found: list[dict[str, float]] = []
    for first in range(0, len(before), _AT_ONCE):
        beginnings = before[first : first + _AT_ONCE]
        outputs = predict(replace(spec, signature="next_char"), _texts("prompt", beginnings)).outputs
        for chars, probabilities in zip(outputs["chars"], outputs["probabilities"], strict=True):
            kept = zip(chars[:most], probabilities[:most].astype(float), strict=True)
            found.append({char.decode(): float(np.log(p)) for char, p in kept if p > 0})
    return found


def _texts(name: str, texts: list[str]) -> Any:
    column = np.array([text.encode("utf-8", "replace") for text in texts], object)

    def feed(signature: ServedSignature) -> dict[str, np.ndarray]:
        return {name: column}

    return feed
