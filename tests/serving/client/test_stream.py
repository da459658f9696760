"""Texts in chunks: the same as in one piece, of one version, and no more requests than needed."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from charflow.serving import ArgumentError, Internal, NotFound


@pytest.mark.parametrize("chunk_chars", [1, 3, 7, 32, 40, 1000])
@pytest.mark.parametrize("max_chars", [1, 40], ids=["one character", "forty"])
def test_stream_joined_is_generate(client: Any, chunk_chars: int, max_chars: int) -> None:
    settings = {"seed": 11, "temperature": 0.8, "top_k": 5, "top_p": 0.9, "max_chars": max_chars}
    pieces = list(client.stream("how do i ", chunk_chars=chunk_chars, **settings))
    assert "".join(pieces) == client.generate("how do i ", **settings).text
    assert [len(piece) for piece in pieces[:-1]] == [chunk_chars] * (len(pieces) - 1)


@pytest.mark.parametrize("chunk_chars", [1, 2, 5, 32])
@pytest.mark.parametrize("begins", range(6))
def test_stream_ends_with_a_stop_string_that_two_chunks_share(client: Any, chunk_chars: int, begins: int) -> None:
    whole = client.generate("how do i ", max_chars=40).text
    stop = whole[begins + 3 : begins + 6]
    expected = client.generate("how do i ", max_chars=40, stop=stop)
    assert expected.finish_reason == "stop"
    pieces = list(client.stream("how do i ", max_chars=40, stop=stop, chunk_chars=chunk_chars))
    assert "".join(pieces) == expected.text


def test_stream_takes_whatever_settings_the_model_has(client: Any, backend: Any) -> None:
    backend.further = {"min_p": np.array([0.25], np.float32), "since": np.array([3])}
    expected = client.generate("a", min_p=0.5).text
    assert "".join(client.stream("a", min_p=0.5, chunk_chars=5)) == expected
    assert all((inputs["min_p"], inputs["since"]) == ([0.5], [3]) for _, _, inputs in backend.asked)
    assert client.generate("a").text != expected


def test_stream_is_over_where_the_message_is(client: Any, backend: Any) -> None:
    backend.changes = {"finish_reason": np.array(["end"], object)}
    assert len("".join(client.stream("a", max_chars=25, chunk_chars=10))) == 10
    assert len(backend.asked) == 1


def test_stream_asks_for_no_more_than_it_needs(client: Any, backend: Any) -> None:
    list(client.stream("a", max_chars=25, chunk_chars=10))
    assert [inputs["max_chars"] for _, _, inputs in backend.asked] == [[10], [10], [5]]
    assert [inputs["prompt"] for _, _, inputs in backend.asked] == [["a"], [""], [""]]
    assert [inputs["position"] for _, _, inputs in backend.asked] == [[0], [10], [20]]


def test_stream_takes_the_defaults_of_the_model(client: Any, backend: Any) -> None:
    assert "".join(client.stream("a", chunk_chars=5)) == client.generate("a").text


def test_stream_of_no_characters_is_empty(client: Any, backend: Any) -> None:
    assert list(client.stream("a", max_chars=0)) == []
    assert backend.asked == []


def test_stream_that_is_left_asks_no_more(client: Any, backend: Any) -> None:
    with closing(client.stream("a", max_chars=40, chunk_chars=5)) as pieces:
        assert len(next(pieces)) == 5
    assert len(backend.asked) == 1
    assert client.generate("a").length == 12


def test_stream_sends_nothing_before_it_is_read(client: Any, backend: Any) -> None:
    client.stream("a").close()
    assert backend.calls == 0


def test_stream_goes_on_where_the_limit_of_the_export_cuts_generate(client: Any, backend: Any) -> None:
    texts = {chunk: "".join(client.stream("a", max_chars=120, chunk_chars=chunk)) for chunk in (32, 1000)}
    assert texts[32] == texts[1000]
    assert len(texts[32]) == 120
    assert texts[32].startswith(client.generate("a", max_chars=120).text)


def test_stream_of_a_model_that_writes_nothing_ends(client: Any, backend: Any) -> None:
    backend.limit = 0
    assert list(client.stream("a", max_chars=10)) == []
    assert len(backend.asked) == 1


def test_stream_keeps_to_the_version_it_began_with(client: Any, backend: Any) -> None:
    expected = client.generate("a", max_chars=40).text
    pieces = client.stream("a", max_chars=40, chunk_chars=10)
    text = next(pieces)
    backend.versions = [3, 4]
    assert text + "".join(pieces) == expected
    assert {version for _, version, _ in backend.asked[1:]} == {3}
    assert client.generate("a", max_chars=40).text != expected


def test_stream_begins_with_the_version_of_the_moment(client: Any, backend: Any) -> None:
    client.generate("a")
    backend.versions = [4]
    assert "".join(client.stream("a")) == client.generate("a").text
    assert [version for _, version, _ in backend.asked] == [None, 4, None]


def test_stream_with_a_label_pins_its_version(connect: Callable[..., Any], backend: Any) -> None:
    backend.versions = [3, 4]
    pieces = connect(label="stable").stream("a", max_chars=20, chunk_chars=10)
    first = next(pieces)
    backend.labels["stable"] = 4
    assert first + next(pieces) == connect(version=3).generate("a", max_chars=20).text


def test_stream_says_that_its_version_is_gone(client: Any, backend: Any) -> None:
    pieces = client.stream("a", max_chars=40, chunk_chars=10)
    next(pieces)
    backend.versions = [4]
    with pytest.raises(NotFound) as caught:
        next(pieces)
    assert caught.value.message == (
        "Version 3 of model 'fake' is gone, and no other can continue its text: "
        "Servable not found for request: Specific(fake, 3)."
    )


def test_streams_of_one_client_do_not_disturb_each_other(client: Any) -> None:
    prompts = ["a", "b"]
    both = [client.stream(prompt, max_chars=20, chunk_chars=3) for prompt in prompts]
    texts = ["", ""]
    for pieces in zip(*both, strict=True):
        texts = [text + piece for text, piece in zip(texts, pieces)]
    assert texts == [client.generate(prompt, max_chars=20).text for prompt in prompts]


def test_stream_refuses_more_characters_than_it_asked_for(client: Any, backend: Any) -> None:
    backend.changes = {"length": [33]}
    with pytest.raises(Internal, match=r"^The server wrote 33 characters where at most 12 were asked for"):
        next(client.stream("a"))


ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "list of prompts": ({"prompt": ["a"]}, "A stream has one prompt, a str, not list."),
    "list of a setting": ({"seed": [1]}, "seed must be one value, not a list: a stream has one prompt."),
    "no chunk": ({"chunk_chars": 0}, "chunk_chars must be at least 1 and at most 2,147,483,647, not 0."),
    "temperature": (
        {"temperature": -1},
        "temperature must be at least 0 and at most 3.40282e+38, not -1 (0 is greedy).",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_stream_refuses_arguments_when_it_is_called(client: Any, backend: Any, case: str) -> None:
    options, message = ARGUMENTS[case]
    with pytest.raises(ArgumentError) as caught:
        client.stream(**{"prompt": "a", **options})
    assert str(caught.value) == message
    assert backend.calls == 0
