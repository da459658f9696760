"""Texts of a request, written by a fake model that spells out a word for each prompt."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from charflow.serving.embedded.core.signature import ServedSignature, TensorSpec
from charflow.serving.embedded.core.spec import Answer, ModelSpec
from charflow.serving.embedded.rest.completions.writing import Text, Writing
from charflow.serving.errors import FailedPrecondition, InvalidArgument
from tests.serving.embedded.rest.completions.test_request import request

INPUTS = {
    "prompt": tf.string, "max_chars": tf.int32, "temperature": tf.float32, "top_k": tf.int32, "top_p": tf.float32,
    "seed": tf.int64, "stop": tf.string, "stop_at_end": tf.bool, "state": tf.float32, "position": tf.int64,
}  # fmt: skip
WORDS = ["abcdefghijklmnop", "ab", "aabaabaac"]


class Speller:
    """Writes WORDS[state] from `position` on; a word that is over ends by itself."""

    def __init__(self, inputs: Mapping[str, tf.DType] = INPUTS) -> None:
        shapes = {"state": (None, 1)}
        self.signature = ServedSignature(
            name="stream",
            inputs={
                name: TensorSpec(tensor=name, dtype=dtype, shape=shapes.get(name, (None,)))
                for name, dtype in inputs.items()
            },
            outputs={},
            defaults={"stop_at_end": np.array([True]), "top_k": np.array([0], np.int32)},
        )
        self.calls: list[Mapping[str, Any]] = []
        self.specs: list[ModelSpec] = []

    def __call__(self, spec: ModelSpec, feed: Callable[[ServedSignature], Mapping[str, np.ndarray]]) -> Answer:
        inputs = feed(self.signature)
        self.calls.append({name: array.tolist() for name, array in inputs.items()})
        self.specs.append(spec)
        for name, array in inputs.items():
            assert array.dtype == self.signature.inputs[name].dtype.as_numpy_dtype
            assert len(array) == len(inputs["prompt"])
        rows = [
            self._row(*row)
            for row in zip(inputs["prompt"], inputs["state"], inputs["position"], inputs["max_chars"], strict=True)
        ]
        columns = dict(
            zip(("text", "length", "finish_reason", "state", "position"), zip(*rows, strict=True), strict=True)
        )
        return Answer(
            outputs={name: np.array(column) for name, column in columns.items()}, version=4, signature="stream"
        )

    def _row(self, prompt: bytes, state: np.ndarray, position: int, most: int) -> tuple:
        word = WORDS[int(prompt) if prompt else int(state[0])]
        text = word[position : position + most]
        reason = "end" if position + most > len(word) else "length"
        return text.encode(), len(text), reason.encode(), [float(WORDS.index(word))], position + len(text)


def written(most: int, **fields: Any) -> tuple[list[tuple[str, str | None]], Speller]:
    model, writing = Speller(), Writing(request(**fields))
    while not writing.is_done:
        writing.go_on(model, most)
    return [(text.text, text.reason) for text in writing.texts], model


@pytest.mark.parametrize("most", [1, 3, 100])
def test_texts_do_not_depend_on_the_pieces(most: int) -> None:
    found, _ = written(most, prompt=["0", "1", "2"], max_tokens=8)
    assert found == [("abcdefgh", "length"), ("ab", "stop"), ("aabaabaa", "length")]


@pytest.mark.parametrize("most", [1, 2, 5, 100])
@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        (["ef"], "abcd"),
        (["x"], "abcdefgh"),
        (["cdx", "de"], "abc"),
        (["gh", "efg"], "abcd"),
        (["a"], ""),
        (["abcdefgh"], ""),
    ],
)
def test_a_text_ends_before_the_first_stop_string(most: int, stops: list[str], expected: str) -> None:
    (text,), _ = written(most, prompt="0", max_tokens=8, stop=stops)
    assert text == (expected, "length" if expected == "abcdefgh" else "stop")


@pytest.mark.parametrize("most", [1, 2, 5])
def test_what_is_given_piece_by_piece_is_the_text(most: int) -> None:
    writing, model, given = Writing(request(prompt="2", max_tokens=9, stop=["aabaac", "zz"])), Speller(), []
    (text,) = writing.texts
    while not writing.is_done:
        writing.go_on(model, most)
        start, end = text.fresh(("aabaac", "zz"))
        given.append(text.text[start:end])
    assert ("".join(given), text.reason) == ("aab", "stop")


def test_the_beginning_of_a_stop_string_waits() -> None:
    text = Text(0, "", 9)
    text.take("one st", 6, "length", ("stop", "x"))
    assert text.fresh(("stop", "x")) == (0, 4)
    text.take("ar", 2, "length", ("stop", "x"))
    assert text.fresh(("stop", "x")) == (4, 8)


def test_rows_carry_their_own_state_and_seed_and_only_those_that_go_on_are_asked() -> None:
    _, model = written(4, prompt=["0", "1"], n=2, max_tokens=6, seed=2**63 - 2)
    first, second = model.calls
    assert first["prompt"] == [b"0", b"0", b"1", b"1"]
    assert first["seed"] == [2**63 - 2, 2**63 - 1, -(2**63), 1 - 2**63]
    assert (second["prompt"], second["seed"], second["max_chars"]) == ([b"", b""], first["seed"][:2], [2, 2])
    assert second["position"] == [4, 4]
    same = {"stop": b"", "stop_at_end": True, "top_k": 0, "temperature": 1.0, "top_p": 1.0}
    assert {name: second[name] for name in same} == {name: [value] * 2 for name, value in same.items()}


def test_one_version_writes_a_text() -> None:
    _, model = written(4, prompt="0", max_tokens=6, model="chat/labels/stable")
    assert model.specs == [
        ModelSpec(name="chat", label="stable", signature="stream"),
        ModelSpec(name="chat", version=4, signature="stream"),
    ]


def test_without_a_seed_texts_are_new_ones() -> None:
    assert len({written(4, prompt="1", max_tokens=1)[1].calls[0]["seed"][0] for _ in range(3)}) == 3


def test_settings_of_the_model_may_be_given_by_name() -> None:
    _, model = written(9, prompt="1", top_k=3, stop_at_end=False)
    assert (model.calls[0]["top_k"], model.calls[0]["stop_at_end"]) == ([3], [False])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tempo": 1}, "tempo is not known: model chat has no such setting."),
        ({"state": [0.0]}, "state is not known: model chat has no such setting."),
        ({"top_k": 1.5}, "top_k must be a whole number."),
        ({"top_k": True}, "top_k must be a whole number."),
        ({"top_k": 2**40}, "top_k is too large."),
        ({"stop_at_end": 1}, "stop_at_end must be true or false."),
    ],
)
def test_a_setting_that_the_model_does_not_have_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        written(4, prompt="1", **fields)
    assert refusal.value.message == message


def test_a_model_that_does_not_stream_as_ours_do_is_refused() -> None:
    writing = Writing(request(prompt="1"))
    with pytest.raises(
        FailedPrecondition, match=r"^Model chat does not write as a model that charflow exported does\.$"
    ):
        writing.go_on(Speller({"prompt": tf.string}), 4)
