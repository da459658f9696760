"""Arguments that no request can be made of are refused before anything is sent."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from charflow.serving import ArgumentError, AsyncClient, Client

SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "negative temperature": (
        {"temperature": -0.5},
        "temperature must be at least 0 and at most 3.40282e+38, not -0.5 (0 is greedy).",
    ),
    "NaN": (
        {"temperature": float("nan")},
        "temperature must be at least 0 and at most 3.40282e+38, not nan (0 is greedy).",
    ),
    "infinite": (
        {"temperature": float("inf")},
        "temperature must be at least 0 and at most 3.40282e+38, not inf (0 is greedy).",
    ),
    "over float32": (
        {"temperature": 1e39},
        "temperature must be at least 0 and at most 3.40282e+38, not 1e+39 (0 is greedy).",
    ),
    "temperature as text": ({"temperature": "1"}, "temperature must be a number, not '1'."),
    "negative length": ({"max_chars": -1}, "max_chars must be at least 0 and at most 2,147,483,647, not -1."),
    "length of 32 bits": (
        {"max_chars": 2**31},
        "max_chars must be at least 0 and at most 2,147,483,647, not 2,147,483,648.",
    ),
    "length as float": ({"max_chars": 3.0}, "max_chars must be a whole number, not 3.0."),
    "length as bool": ({"max_chars": True}, "max_chars must be a whole number, not True."),
    "seed of 65 bits": (
        {"seed": 2**63},
        f"seed must be at least {-(2**63):,} and at most {2**63 - 1:,}, not {2**63:,}.",
    ),
    "stop as bytes": ({"stop": b"x"}, "stop must be a text, not b'x'."),
    "stop with half a character": ({"stop": "\ud83c"}, "stop cannot be written as UTF-8: surrogates not allowed."),
    "short list": ({"seed": [1]}, "seed has 1 values where there are 2 prompts."),
    "wrong value in a list": ({"seed": [1, "2"]}, "seed 1 must be a whole number, not '2'."),
}
FLOAT32 = "at least -3.40282e+38 and at most 3.40282e+38"
SAMPLERS: dict[str, tuple[dict[str, Any], str]] = {  # what the metadata say alone
    "NaN": ({"top_p": float("nan")}, f"top_p must be {FLOAT32}, not nan."),
    "infinite": ({"top_p": float("-inf")}, f"top_p must be {FLOAT32}, not -inf."),
    "over float32": ({"top_p": 10**39}, f"top_p must be {FLOAT32}, not a number of 40 digits."),
    "number as text": ({"top_p": "1"}, "top_p must be a number, not '1'."),
    "whole number as float": ({"top_k": 3.0}, "top_k must be a whole number, not 3.0."),
    "32 bits": (
        {"top_k": 2**31},
        "top_k must be at least -2,147,483,648 and at most 2,147,483,647, not 2,147,483,648.",
    ),
    "64 bits": ({"since": 2**63}, f"since must be at least {-(2**63):,} and at most {2**63 - 1:,}, not {2**63:,}."),
    "infinite double": (
        {"rate": float("inf")},
        "rate must be at least -1.79769e+308 and at most 1.79769e+308, not inf.",
    ),
    "text": ({"style": 3}, "style must be a text, not 3."),
    "truth": ({"loud": 1}, "loud must be true or false, not 1."),
    "unknown": (
        {"min_p": 0.1},
        "min_p is no setting of the served model. "
        "Its settings are: loud, max_chars, rate, seed, since, stop, style, temperature, top_k, top_p.",
    ),
    "prompt again": ({"state": 0.1}, "state is no setting of the served model."),
    "short list": ({"top_k": [1]}, "top_k has 1 values where there are 2 prompts."),
    "wrong value in a list": ({"top_k": [1, None]}, "top_k 1 must be a whole number, not None."),
}
FURTHER = {
    "since": np.array([0]),
    "rate": np.array([0.5]),
    "style": np.array([""], object),
    "loud": np.array([False]),
}
PROMPTS: dict[str, tuple[Any, str]] = {
    "none": ([], "There is no prompt: the list is empty."),
    "bytes": (b"a", "Pass a prompt as a str, or several as a list of str, not bytes."),
    "number": (3, "Pass a prompt as a str, or several as a list of str, not int."),
    "nothing": (None, "Pass a prompt as a str, or several as a list of str, not NoneType."),
    "list with a number": (["a", 3], "prompt 1 must be a text, not 3."),
    "half a character": (["a", "\udce9"], "prompt 1 cannot be written as UTF-8: surrogates not allowed."),
}
CLIENTS: dict[str, tuple[dict[str, Any], str]] = {
    "no port": ({"address": "localhost"}, "The address must be HOST:PORT, such as 127.0.0.1:8500, not 'localhost'."),
    "URL": (
        {"address": "http://localhost:8501"},
        "The address must be HOST:PORT, such as 127.0.0.1:8500, not 'http://localhost:8501'.",
    ),
    "port 0": ({"address": "a:0"}, "The address must be HOST:PORT, such as 127.0.0.1:8500, not 'a:0'."),
    "port of 17 bits": (
        {"address": "a:65536"},
        "The address must be HOST:PORT, such as 127.0.0.1:8500, not 'a:65536'.",
    ),
    "protocol": ({"protocol": "http"}, "Unknown protocol 'http': use grpc or rest."),
    "no model": ({"model": ""}, "model must not be empty: name the model as the server does."),
    "version and label": ({"version": 1, "label": "a"}, "Pass a version or a label, not both."),
    "negative version": ({"version": -1}, f"version must be at least 0 and at most {2**63 - 1:,}, not -1."),
    "no time": ({"timeout": 0}, "timeout must be a number of seconds above 0 and at most 1,000,000,000, not 0."),
    "endless": (
        {"timeout": float("inf")},
        "timeout must be a number of seconds above 0 and at most 1,000,000,000, not inf.",
    ),
    "retries": ({"retries": -1}, "retries must be at least 0 and at most 2,147,483,647, not -1."),
    "batch": ({"max_batch": 0}, "max_batch must be at least 1 and at most 2,147,483,647, not 0."),
    "tls": ({"tls": "ca.pem"}, "tls must be a Tls, True or None, not 'ca.pem'."),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_generate_refuses_settings_out_of_range(client: Any, backend: Any, case: str) -> None:
    settings, message = SETTINGS[case]
    with pytest.raises(ArgumentError) as caught:
        client.generate(["a", "b"], **settings)
    assert message in str(caught.value)
    assert backend.calls == 0


@pytest.mark.parametrize("case", SAMPLERS)
def test_generate_refuses_what_the_model_has_no_setting_for(client: Any, backend: Any, case: str) -> None:
    backend.further = FURTHER
    settings, message = SAMPLERS[case]
    with pytest.raises(ArgumentError) as caught:
        client.generate(["a", "b"], **settings)
    assert message in str(caught.value)
    assert backend.asked == []


@pytest.mark.parametrize("case", [name for name in SAMPLERS if "list" not in name])
def test_stream_refuses_what_the_model_has_no_setting_for(client: Any, backend: Any, case: str) -> None:
    backend.further = FURTHER
    settings, message = SAMPLERS[case]
    with pytest.raises(ArgumentError) as caught:
        next(client.stream("a", **settings))
    assert message in str(caught.value)
    assert backend.asked == []


@pytest.mark.parametrize("method", ["complete", "generate", "next_char"])
@pytest.mark.parametrize("case", PROMPTS)
def test_what_is_no_prompt_is_refused(client: Any, backend: Any, method: str, case: str) -> None:
    prompts, message = PROMPTS[case]
    with pytest.raises(ArgumentError) as caught:
        getattr(client, method)(prompts)
    assert str(caught.value) == message
    assert backend.calls == 0


def test_score_speaks_of_texts(client: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^There is no text: the list is empty\.$"):
        client.score([])


@pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["blocking", "asyncio"])
@pytest.mark.parametrize("case", CLIENTS)
def test_client_refuses_arguments(kind: Callable[..., Any], case: str) -> None:
    options, message = CLIENTS[case]
    with pytest.raises(ArgumentError) as caught:
        kind(**{"address": "127.0.0.1:8501", "protocol": "rest", **options})
    assert str(caught.value) == message


def test_argument_errors_are_value_errors() -> None:
    assert issubclass(ArgumentError, ValueError)


@pytest.mark.parametrize("address", ["localhost:1", "a-b.example.com:65535", "[::1]:8500"])
def test_client_takes_addresses(address: str) -> None:
    Client(address, "rest").close()
