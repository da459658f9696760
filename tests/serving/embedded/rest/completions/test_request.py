"""Requests for completions: what they may have, and in which sentence the rest is refused."""

import json
from typing import Any

import pytest

from charflow.serving.embedded.core.spec import ModelSpec
from charflow.serving.embedded.rest.completions.request import parse_request
from charflow.serving.errors import InvalidArgument


def request(**fields: Any) -> Any:
    return parse_request(json.dumps({"model": "chat", **fields}).encode())


def test_the_defaults_are_those_of_openai() -> None:
    found = request()
    assert (found.prompts, found.n, found.max_tokens, found.stops) == (("",), 1, 16, ())
    assert (found.logprobs, found.echo, found.stream, found.include_usage) == (None, False, False, False)
    assert found.settings == {"temperature": 1.0, "top_p": 1.0, "seed": None}


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        ("chat", ModelSpec(name="chat")),
        ("two words", ModelSpec(name="two words")),
        ("chat/versions/3", ModelSpec(name="chat", version=3)),
        ("chat/labels/stable", ModelSpec(name="chat", label="stable")),
    ],
)
def test_the_model_is_named_as_in_paths(model: str, spec: ModelSpec) -> None:
    assert request(model=model).spec == spec


def test_what_is_asked_for_is_read() -> None:
    found = request(
        prompt=["a", "b"], n=2, max_tokens=5, stop="x", logprobs=2, echo=True, seed=-7, temperature=0, stream=True,
        stream_options={"include_usage": True}, user="u", top_k=3, min_p=None,
    )  # fmt: skip
    assert (found.prompts, found.n, found.max_tokens, found.stops) == (("a", "b"), 2, 5, ("x",))
    assert (found.logprobs, found.echo, found.stream, found.include_usage) == (2, True, True, True)
    assert found.settings == {"temperature": 0.0, "top_p": 1.0, "seed": -7, "top_k": 3}


@pytest.mark.parametrize("stop", ["", [], [""], None])
def test_an_empty_stop_string_is_none(stop: Any) -> None:
    assert request(stop=stop).stops == ()


@pytest.mark.parametrize(
    "neutral", [{"best_of": 1}, {"frequency_penalty": 0.0}, {"presence_penalty": 0}, {"logit_bias": {}}, {"suffix": ""}]
)
def test_fields_that_ask_for_nothing_may_be_there(neutral: dict) -> None:
    assert request(**neutral) == request()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": ""}, "model is missing: give the name of a model that is served."),
        ({"model": 3}, "model must be a string."),
        ({"prompt": [1, 2]}, "prompt must be a string or strings: token ids mean nothing to a character model."),
        ({"prompt": []}, "prompt must be a string or strings: token ids mean nothing to a character model."),
        ({"n": 0}, "n must be a whole number from 1 to 128."),
        ({"n": True}, "n must be a whole number from 1 to 128."),
        ({"n": 65, "prompt": ["a", "b"]}, "prompt and n ask for more than 128 texts."),
        ({"max_tokens": -1}, "max_tokens must be a whole number from 0 to 2147483647."),
        ({"max_tokens": 1.5}, "max_tokens must be a whole number from 0 to 2147483647."),
        ({"temperature": 2.1}, "temperature must be a number from 0 to 2."),
        ({"temperature": float("nan")}, "temperature must be a number from 0 to 2."),
        ({"temperature": "hot"}, "temperature must be a number from 0 to 2."),
        ({"top_p": -0.1}, "top_p must be a number from 0 to 1."),
        ({"seed": 2**63}, "seed must be a whole number from -9223372036854775807 to 9223372036854775807."),
        ({"stop": list("abcde")}, "stop must be up to 4 strings of up to 256 characters."),
        ({"stop": 7}, "stop must be up to 4 strings of up to 256 characters."),
        ({"logprobs": 6}, "logprobs must be a whole number from 0 to 5."),
        ({"echo": 1}, "echo must be true or false."),
        ({"stream": "yes"}, "stream must be true or false."),
        ({"stream_options": []}, "stream_options must be an object."),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage must be true or false."),
        ({"best_of": 3}, "best_of is not supported: leave it out."),
        ({"presence_penalty": 0.5}, "presence_penalty is not supported: leave it out."),
        ({"suffix": "x"}, "suffix is not supported: leave it out."),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        request(**fields)
    assert refusal.value.message == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "The body is not JSON."),
        (b"[" * 100_000, "The body is not JSON."),
        (b"[]", "The body must be a JSON object."),
    ],
    ids=["cut", "deep", "a list"],
)
def test_what_is_no_request_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{message}$"):
        parse_request(body)
