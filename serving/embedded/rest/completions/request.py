"""Reads a request for completions in the shape of OpenAI's API: POST /v1/completions.

`writing` writes what it asks for. A token is a character here. Fields of that API that would need what a character
model does not have are refused unless they ask for nothing.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from charflow.serving.embedded.core.spec import ModelSpec
from charflow.serving.embedded.rest.calls import parse_call
from charflow.serving.errors import InvalidArgument

_MOST_TEXTS = 128  # prompts times n
_MOST_STOPS, _LONGEST_STOP = 4, 256
_MOST_RANKED = 5  # alternatives of a character
_MOST_INT64 = 2**63 - 1
# Fields that may be there if they say this, which changes nothing, or nothing at all.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "suffix": ("",),
}


@dataclass(frozen=True, kw_only=True)
class CompletionRequest:
    """What is asked for.

    Attributes:
        model: as the client wrote it.
        spec: the model.
        prompts: to continue, one text each.
        n: texts for each prompt.
        max_tokens: characters of a text, at most.
        stops: what ends a text when it is written, and is not part of it.
        logprobs: how many alternatives of each character to give with its logarithm; None for no logarithms.
        echo: whether texts begin with their prompt.
        stream: whether to answer piece by piece.
        include_usage: whether a last piece counts characters.
        settings: of the model's signature `stream`, by name; `seed` is that of the first text, None for any.
    """

    model: str
    spec: ModelSpec
    prompts: tuple[str, ...]
    n: int
    max_tokens: int
    stops: tuple[str, ...]
    logprobs: int | None
    echo: bool
    stream: bool
    include_usage: bool
    settings: Mapping[str, Any]


def parse_request(body: bytes) -> CompletionRequest:
    """Reads a request's JSON.

    Raises:
        InvalidArgument: it is not one, or asks for what there is not.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidArgument("The body is not JSON.") from None
    if not isinstance(fields, dict):
        raise InvalidArgument("The body must be a JSON object.")
    given = {name: value for name, value in fields.items() if value is not None}
    for name, neutral in _NEUTRAL.items():
        if (value := given.pop(name, None)) is not None and value not in neutral:
            raise InvalidArgument(f"{name} is not supported: leave it out.")
    given.pop("user", None)
    take = lambda name, check, default: check(name, given.pop(name, default))  # noqa: E731
    model = take("model", _text, "")
    options = take("stream_options", _object, {})
    request = CompletionRequest(
        model=model,
        spec=_spec(model),
        prompts=take("prompt", _prompts, ""),
        n=take("n", _whole(1, _MOST_TEXTS), 1),
        max_tokens=take("max_tokens", _whole(0, 2**31 - 1), 16),
        stops=take("stop", _stops, []),
        logprobs=take("logprobs", _whole(0, _MOST_RANKED), None),
        echo=take("echo", _flag, False),
        stream=take("stream", _flag, False),
        include_usage=_flag("stream_options.include_usage", options.get("include_usage", False)),
        settings={
            "temperature": take("temperature", _number(0, 2), 1.0),
            "top_p": take("top_p", _number(0, 1), 1.0),
            "seed": take("seed", _whole(-_MOST_INT64, _MOST_INT64), None),
            **given,
        },
    )
    if len(request.prompts) * request.n > _MOST_TEXTS:
        raise InvalidArgument(f"prompt and n ask for more than {_MOST_TEXTS} texts.")
    return request


def _spec(model: str) -> ModelSpec:
    """The model that `NAME`, `NAME/versions/N` or `NAME/labels/L` names, as paths do."""
    if not model:
        raise InvalidArgument("model is missing: give the name of a model that is served.")
    return parse_call("POST", b"/v1/models/" + quote(model).encode() + b":predict").spec


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"{name} must be a string.")
    return value


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument(f"{name} must be an object.")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument(f"{name} must be true or false.")
    return value


def _whole(least: int, most: int) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> int | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidArgument(f"{name} must be a whole number from {least} to {most}.")
        return value

    return check


def _number(least: float, most: float) -> Callable[[str, Any], float]:
    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise InvalidArgument(f"{name} must be a number from {least} to {most}.")
        return float(value)

    return check


def _prompts(name: str, value: Any) -> tuple[str, ...]:
    prompts = [value] if isinstance(value, str) else value
    if not isinstance(prompts, list) or not prompts or not all(isinstance(each, str) for each in prompts):
        raise InvalidArgument(f"{name} must be a string or strings: token ids mean nothing to a character model.")
    return tuple(prompts)


def _stops(name: str, value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    usable = isinstance(stops, list) and len(stops) <= _MOST_STOPS
    if not usable or not all(isinstance(each, str) and len(each) <= _LONGEST_STOP for each in stops):
        raise InvalidArgument(f"{name} must be up to {_MOST_STOPS} strings of up to {_LONGEST_STOP} characters.")
    return tuple(filter(None, stops))
