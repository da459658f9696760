"""Texts that end with a message, against a slow loop over a model whose next character depends on the last alone."""

from collections.abc import Callable, Sequence
from math import log
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.model.decoding import rounds
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.sampling import uniforms
from charflow.model.decoding.settings import SETTINGS, Limits, SamplingSettings
from charflow.model.decoding.text_model import Completions, TextModel
from charflow.pipeline.marks import END, LINE_BREAK

CHARS = f"{END}abc"
FOLLOWS = {
    END: {END: 0.25, "a": 0.5, "b": 0.25},
    "a": {END: 0.375, "b": 0.625},
    "b": {END: 0.25, "a": 0.25, "c": 0.5},
    "c": {END: 0.5, "c": 0.5},
}
LONGEST = 24


@pytest.fixture(scope="module")
def generator(make_chain: Callable, make_generator: Callable) -> Generator:
    return make_generator(make_chain(CHARS, FOLLOWS), CHARS, ends=True, limits=Limits(4096, 256))


@pytest.fixture(scope="module")
def model(generator: Generator) -> TextModel:
    return generator.text_model


@pytest.fixture(scope="module")
def complete(model: TextModel) -> Callable[..., Completions]:
    """Completes a prompt a row, with a dictionary of settings each, in a traced graph that leaves each row behind."""

    def in_many_rounds(*given: Any) -> Completions:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rounds, "_FEWEST", 1)
            return model.complete(*given)

    traced = tf.function(in_many_rounds, reduce_retracing=True, autograph=False)

    def complete(
        prompts: Sequence[str], rows: Sequence[dict], state: Any = None, position: Any = None, **both: Any
    ) -> Completions:
        values = [{each.name: each.default for each in SETTINGS} | {"temperature": 1.0} | row | both for row in rows]
        return traced(
            tf.constant(prompts),
            {each.name: tf.constant([value[each.name] for value in values], each.dtype) for each in SETTINGS},
            tf.zeros([len(rows), model.state_size]) if state is None else state,
            tf.zeros([len(rows)], tf.int64) if position is None else position,
        )

    return complete


def slow(prompt: str, row: dict) -> tuple[str, str, float, int]:
    """The readable reference: text, finish reason, sum of logarithms, and how many characters were drawn."""
    stops = row.get("stop_at_end", True) and row.get("max_messages", 1) > 0
    numbers = uniforms(tf.constant([row["seed"]], tf.int64), tf.constant([0], tf.int64), LONGEST).numpy()[:, 0]
    drawn, nats = "", 0.0
    while len(drawn) < row["max_chars"]:
        follows = FOLLOWS[(prompt + drawn or END)[-1]]
        barred = END if stops and drawn[-1:] in ("", END) else ""
        allowed = {char: share for char, share in follows.items() if char != barred}
        char = (
            max(allowed, key=allowed.__getitem__) if row["temperature"] == 0 else chosen(allowed, numbers[len(drawn)])
        )
        drawn, nats = drawn + char, nats + log(follows[char])
        if stops and char == END and drawn.count(END) == row.get("max_messages", 1):
            return drawn[:-1].replace(END, LINE_BREAK), "end", nats, len(drawn)
    return drawn.replace(END, LINE_BREAK), "length", nats, len(drawn)


def chosen(shares: dict[str, float], number: float) -> str:
    bounds = np.cumsum([shares[char] for char in sorted(shares)])
    return sorted(shares)[int(np.argmax(bounds > number * bounds[-1]))]


def written(completion: Completions) -> list[tuple[str, str, float, int]]:
    parts = (completion.text, completion.finish_reason, completion.log_prob, completion.position)
    rows = zip(*(part.numpy().tolist() for part in parts), strict=True)
    return [
        (text.decode(), reason.decode(), pytest.approx(nats, rel=1e-3, abs=1e-3), n) for text, reason, nats, n in rows
    ]


PROMPTS = st.sampled_from(["", "a", "cab", f"ab{END}"])
ROWS = st.fixed_dictionaries(
    {
        "seed": st.integers(-99, 99),
        "temperature": st.sampled_from([0.0, 1.0, 1.0]),
        "max_chars": st.integers(0, LONGEST),
    },
    optional={"stop_at_end": st.booleans(), "max_messages": st.integers(0, 3), "top_k": st.just(4)},  # 4 are all
)
BATCHES = st.lists(st.tuples(PROMPTS, ROWS), min_size=1, max_size=5)


@pytest.mark.slow
@settings(max_examples=60)
@given(batch=BATCHES, same=st.none() | st.integers(0, LONGEST))
def test_complete_equals_the_slow_loop(complete: Callable, batch: list, same: int | None) -> None:
    """Whatever stands beside it; rows of the same length without samplers take the fast loop."""
    rows = [row if same is None else row | {"max_chars": same} for _, row in batch]
    prompts = [prompt for prompt, _ in batch]
    found = complete(prompts, rows)
    expected = [slow(prompt, row) for prompt, row in zip(prompts, rows, strict=True)]
    assert written(found) == expected
    assert found.length.numpy().tolist() == [len(text) for text, *_ in expected]


@settings(max_examples=30)
@given(prompt=PROMPTS, row=ROWS, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4))
@pytest.mark.slow
def test_complete_in_chunks_equals_the_slow_loop(complete: Callable, prompt: str, row: dict, sizes: list[int]) -> None:
    text, reason, place, left = "", "length", {}, row["max_chars"]
    for size in sizes * LONGEST:
        found = complete([prompt if not place else ""], [row], max_chars=min(left, size), **place)
        (part, reason, *_) = written(found)[0]
        text, left = text + part, left - int(found.length[0])
        place = {"state": found.state, "position": found.position}
        if reason == "end" or not left:
            break
    expected, why, _, drawn = slow(prompt, row)
    assert (text, reason, int(place["position"][0])) == (expected, why, drawn)


@pytest.mark.slow
def test_next_message_follows_from_the_state_after_an_end(complete: Callable) -> None:
    """Of each row, however long the others of its batch went on."""
    rows = [{"seed": seed, "max_chars": LONGEST} for seed in range(6)]
    first = complete([""] * 6, rows)
    assert len(set(first.length.numpy().tolist())) > 1
    second = complete([""] * 6, rows, state=first.state, position=first.position)
    both = complete([""] * 6, rows, max_messages=2)
    joined = [b"\n".join(pair) for pair in zip(first.text.numpy(), second.text.numpy(), strict=True)]
    assert both.text.numpy().tolist() == joined


@pytest.mark.slow
def test_state_after_an_end_is_that_of_a_row_alone(complete: Callable) -> None:
    rows = [{"seed": seed, "max_chars": LONGEST} for seed in range(6)]
    together = complete(["cab"] * 6, rows)
    for row in range(6):
        np.testing.assert_allclose(together.state[row], complete(["cab"], [rows[row]]).state[0], atol=1e-5)


def test_stop_string_and_end_whichever_comes_first(complete: Callable) -> None:
    rows = [{"seed": seed, "max_chars": LONGEST, "stop": "c"} for seed in range(20)]
    for text, reason, *_ in written(complete([""] * 20, rows)):
        assert reason == ("stop" if "c" in text else "end")
        assert "c" not in text[:-1]


def test_long_text_shows_an_end_as_a_line_break(complete: Callable) -> None:
    ((text, reason, *_),) = written(complete([""], [{"seed": 1, "max_chars": 200, "stop_at_end": False}]))
    assert (len(text), reason) == (200, "length")
    assert END not in text and LINE_BREAK in text


def test_next_char_calls_the_end_by_its_name(model: TextModel) -> None:
    chars, probabilities = model.next_char(tf.constant(["a"]))
    assert [char.decode() for char in chars.numpy()[0]][:2] == ["b", "[END]"]
    np.testing.assert_allclose(probabilities[0, :2], [0.625, 0.375], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "shares"),
    [("ab", [0.5, 0.625, 0.25]), ("", [0.25]), ("a?b", [0.5, 1.0, None, 0.25])],
    ids=["a message", "nothing but an end", "unknown in it"],
)
def test_score_judges_the_end_of_the_message(model: TextModel, text: str, shares: list) -> None:
    found = model.score(tf.constant([text]))
    assert found.length.numpy().tolist() == [len(text) + 1]
    assert not found.truncated.numpy()[0]
    for log_prob, share in zip(found.char_log_probs.numpy()[0], shares, strict=True):
        assert share is None or log_prob == pytest.approx(log(share), abs=1e-4)
    nats = -found.char_log_probs.numpy().sum() / (len(text) + 1 - text.count("?"))
    assert found.bits_per_char.numpy()[0] == pytest.approx(nats / log(2), abs=1e-4)


def test_score_of_texts_of_several_lengths_equals_each_alone(model: TextModel) -> None:
    texts = ["ab", "", "cccb", "a"]
    together = model.score(tf.constant(texts))
    for row, text in enumerate(texts):
        alone = model.score(tf.constant([text]))
        np.testing.assert_allclose(together.char_log_probs[row, : len(text) + 1], alone.char_log_probs[0], atol=1e-5)
        assert not together.char_log_probs[row, len(text) + 1 :].numpy().any()


def test_score_of_a_text_that_goes_on_has_no_end(make_chain: Callable, make_generator: Callable) -> None:
    short = make_generator(make_chain(CHARS, FOLLOWS), CHARS, ends=True, limits=Limits(2, 9)).text_model
    found = short.score(tf.constant(["ab", "abc"]))
    assert found.length.numpy().tolist() == [3, 2]
    assert found.truncated.numpy().tolist() == [False, True]
    np.testing.assert_allclose(found.char_log_probs[1], [log(0.5), log(0.625), 0.0], atol=1e-4)


@pytest.mark.slow
def test_settings_of_ends_do_nothing_where_messages_have_none(make_chain: Callable, make_generator: Callable) -> None:
    plain = make_generator(make_chain(CHARS, FOLLOWS), CHARS)
    ended = {"stop_at_end": True, "max_messages": 2}
    texts = [plain.generate("a", max_chars=30, temperature=1.0, **each)[0] for each in ({"stop_at_end": False}, ended)]
    assert texts[0] == texts[1]
    assert (texts[0].length, texts[0].finish_reason) == (30, "length")
    assert plain.text_model.state_size == plain.text_model.within(Limits(9, 9), None).state_size


@pytest.mark.slow
@pytest.mark.parametrize("max_messages", [1, 3])
def test_generate_equals_the_slow_loop_however_it_is_cut(
    generator: Generator, max_messages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charflow.model.decoding.generator._CHUNK", 3)
    asked = {"max_chars": 20, "temperature": 1.0, "max_messages": max_messages}
    prompts = ["", "a", "cab"] * 4
    found = generator.generate(prompts, seed=5, **asked)
    expected = [slow(prompt, {**asked, "seed": 5 + row}) for row, prompt in enumerate(prompts)]
    assert [(text.text, text.finish_reason) for text in found] == [row[:2] for row in expected]
    assert max(text.length for text in found) > 3  # more than a piece
    assert [text.length for text in found] == [len(text.text) for text in found]


def test_stream_joined_is_the_text_of_generate(generator: Generator) -> None:
    for seed in range(8):
        asked = {"max_chars": 100, "temperature": 1.0, "max_messages": 9, "seed": seed}
        assert "".join(generator.stream("a", **asked)) == generator.generate("a", **asked)[0].text


@pytest.mark.parametrize(
    ("changes", "loop"),
    [
        ({}, "plain"),
        ({"max_messages": 0}, "plain"),
        ({"max_messages": 3, "stop_at_end": False}, "plain"),
        ({"max_messages": 3}, "rows"),
        ({"stop": "bc"}, "rows"),
        ({"top_k": 2}, "sampled"),
        ({"top_k": 2, "stop": "bc"}, "sampled"),
    ],
    ids=str,
)
def test_the_loop_of_settings_writes_what_the_graph_writes(model: TextModel, changes: dict, loop: str) -> None:
    wanted = SamplingSettings(max_chars=LONGEST, temperature=1.0, seed=5, **changes)
    assert model.loop_of(wanted) == loop
    values = {each.name: tf.constant([getattr(wanted, each.name)], each.dtype) for each in SETTINGS}
    texts = [
        model.complete(tf.constant(["a"]), values, tf.zeros([1, model.state_size]), tf.zeros([1], tf.int64), loop=each)
        for each in (None, model.loop_of(wanted))
    ]
    assert texts[0].text == texts[1].text
    assert texts[0].finish_reason == texts[1].finish_reason
