"""Strings in, strings out, with fake models whose output is known and with random ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.decoding.largest_request import LargestRequest
from charflow.model.decoding.settings import LONGEST_STOP, SETTINGS, Limits
from charflow.model.decoding.text_model import Completions, TextModel
from charflow.pipeline.text_settings import TextSettings

SPELLS_CAB = {" ": {"c": 1}, "c": {"a": 1}, "a": {"b": 1}, "b": {" ": 1}, "?": {"b": 1}}
FORKS = {" ": {"a": 0.5, "b": 0.125, "c": 0.25, " ": 0.125}, "a": {"b": 0.75, " ": 0.25}, "b": {" ": 1}, "c": {"c": 1}}


@pytest.fixture(scope="module")
def cab(make_chain: Callable, make_generator: Callable) -> TextModel:
    """Spells "cab cab cab " for ever; after an unknown character it goes on with "b"."""
    return make_generator(make_chain(" abc", SPELLS_CAB), " abc").text_model


@pytest.fixture(scope="module")
def forks(make_chain: Callable, make_generator: Callable) -> TextModel:
    """After a space: a 1/2, c 1/4, space and b 1/8 each; after a: b 3/4, space 1/4."""
    return make_generator(make_chain(" abc", FORKS), " abc").text_model


@pytest.fixture(scope="module")
def random_model(make_network: Callable, make_generator: Callable) -> TextModel:
    return make_generator(make_network("lstm", 2), " abc").text_model


def complete(model: TextModel, *prompts: str | bytes, state=None, position=(0,), **options) -> Completions:
    """Completes greedily with one value for all rows, unless told otherwise."""
    values = {each.name: each.default for each in SETTINGS} | {"max_chars": 8, "temperature": 0.0} | options
    return model.complete(
        tf.constant(prompts),
        {each.name: tf.constant(np.ravel(values[each.name]).tolist(), each.dtype) for each in SETTINGS},
        tf.zeros([1, model.state_size]) if state is None else state,
        tf.constant(position, tf.int64),
    )


def texts_of(completion: Completions) -> list[str]:
    return [text.decode() for text in completion.text.numpy()]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (" ", "cab cab "),
        ("c", "ab cab c"),
        ("cab ca", "b cab ca"),
        ("", "cab cab "),
        ("CA", "b cab ca"),
        ("ж", "b cab ca"),
        ("caж", "b cab ca"),
        (b"a\xff", "b cab ca"),
    ],
    ids=[
        "space",
        "one letter",
        "words",
        "empty reads as a separator",
        "uppercase",
        "unknown",
        "unknown at the end",
        "bad UTF-8",
    ],
)
def test_complete_spells_what_the_weights_say(cab: TextModel, prompt: str | bytes, expected: str) -> None:
    completion = complete(cab, prompt)
    assert texts_of(completion) == [expected]
    assert completion.length.numpy().tolist() == [8]
    assert completion.finish_reason.numpy().tolist() == [b"length"]
    assert completion.position.numpy().tolist() == [8]
    assert completion.state.shape == [1, cab.state_size]
    assert completion.log_prob.numpy()[0] == pytest.approx(0, abs=1e-4)


def test_complete_writes_any_character_as_utf_8(make_chain: Callable, make_generator: Callable) -> None:
    chars = "\n\r é字😀"
    cycle = {before: {after: 1} for before, after in zip(chars, chars[1:] + chars[0], strict=True)}
    model = make_generator(make_chain(chars, cycle), chars).text_model
    assert texts_of(complete(model, " ", "\r", "😀", max_chars=6)) == ["é字😀\n\r ", " é字😀\n\r", "\n\r é字😀"]
    assert texts_of(complete(model, " ", stop="字😀", max_chars=6)) == ["é字😀"]


def test_complete_of_prompts_of_different_lengths_equals_each_alone(random_model: TextModel) -> None:
    prompts = ["", "a", "cab cab", "  b", "жжж"]
    together = texts_of(complete(random_model, *prompts))
    assert together == [texts_of(complete(random_model, prompt))[0] for prompt in prompts]


def test_complete_takes_one_value_for_all_rows_or_one_each(random_model: TextModel) -> None:
    options = {"max_chars": 9, "temperature": 0.9, "top_k": 3, "top_p": 0.9, "seed": 4, "stop": "ca"}
    one = complete(random_model, "a", "b", **options)
    each = complete(
        random_model,
        "a",
        "b",
        **{name: [value] * 2 for name, value in options.items()},
        state=tf.zeros([2, random_model.state_size]),
        position=(0, 0),
    )
    assert texts_of(one) == texts_of(each)
    mixed = complete(random_model, "a", "a", **options | {"max_chars": [9, 4], "seed": [4, 5], "stop": ["ca", ""]})
    assert texts_of(mixed)[0] == texts_of(one)[0]
    assert mixed.length.numpy()[1] == 4


def test_complete_of_no_rows_is_empty(cab: TextModel) -> None:
    completion = cab.complete(
        tf.constant([], tf.string),
        {each.name: tf.constant([each.default], each.dtype) for each in SETTINGS},
        tf.zeros([1, cab.state_size]),
        tf.constant([0], tf.int64),
    )
    assert completion.text.shape == [0]


@pytest.mark.parametrize(("max_chars", "expected"), [(3, 3), (5, 5), (6, 5), (2**31 - 1, 5), (0, 0), (-4, 0)], ids=str)
def test_complete_clamps_the_length(
    make_network: Callable, make_generator: Callable, max_chars: int, expected: int
) -> None:
    limits = Limits(prompt_chars=100, completion_chars=5)
    model = make_generator(make_network("lstm", 2), " abc", limits=limits).text_model
    completion = complete(model, "a", max_chars=max_chars)
    assert completion.length.numpy().tolist() == [expected]
    assert [len(text) for text in texts_of(completion)] == [expected]


def test_complete_keeps_the_end_of_a_prompt_over_the_limit(make_network: Callable, make_generator: Callable) -> None:
    network = make_network("lstm", 2)
    narrow = make_generator(network, " abc", limits=Limits(prompt_chars=3, completion_chars=50)).text_model
    wide = make_generator(network, " abc").text_model
    found = complete(narrow, "cbacbaca", "bc", max_chars=20)
    expected = complete(wide, "aca", "bc", max_chars=20)
    assert texts_of(found) == texts_of(expected)
    np.testing.assert_allclose(found.log_prob, expected.log_prob, rtol=1e-5)
    whole = complete(wide, "cbacbaca", max_chars=20)
    assert found.log_prob.numpy()[0] != pytest.approx(whole.log_prob.numpy()[0], rel=1e-3)


@pytest.mark.parametrize("context", ["stream", "window"])
@pytest.mark.slow
def test_complete_goes_on_from_a_state(make_network: Callable, make_generator: Callable, context: str) -> None:
    model = make_generator(make_network("gru", 2), " abc", context=context).text_model
    options = {"temperature": 1.0, "seed": [3, 9]}
    whole = complete(model, "ab", "", max_chars=30, **options)
    first = complete(model, "ab", "", max_chars=[11, 5], **options)
    second = complete(model, "", "", max_chars=[19, 25], **options, state=first.state, position=first.position.numpy())
    joined = [a + b for a, b in zip(texts_of(first), texts_of(second), strict=True)]
    assert joined == texts_of(whole)
    assert second.position.numpy().tolist() == [30, 30]
    np.testing.assert_allclose(second.state, whole.state, atol=1e-5)
    np.testing.assert_allclose(first.log_prob + second.log_prob, whole.log_prob, rtol=1e-4)


def test_complete_reads_more_of_a_prompt_in_the_middle_of_a_text(random_model: TextModel) -> None:
    first = complete(random_model, "a", max_chars=4)
    second = complete(random_model, "bc", state=first.state, position=first.position.numpy())
    assert texts_of(second) == texts_of(complete(random_model, "a" + texts_of(first)[0] + "bc"))


@pytest.mark.parametrize(
    ("stop", "expected", "reason"),
    [
        ("b", "cab", "stop"),
        ("ab c", "cab c", "stop"),
        ("AB", "cab", "stop"),
        ("", "cab cab ", "length"),
        ("ba", "cab cab ", "length"),
        ("ж", "cab cab ", "length"),
        ("жcab", "cab cab ", "length"),
        ("ж c", "cab cab ", "length"),
        (" cab", "cab cab", "stop"),
        ("cab cab ", "cab cab ", "stop"),
    ],
    ids=[
        "a letter",
        "across a word",
        "uppercase",
        "none",
        "never written",
        "unknown",
        "unknown before what is written first",
        "unknown before what is written",
        "not from the prompt",
        "with the last character",
    ],
)
def test_complete_ends_with_the_stop_string(cab: TextModel, stop: str, expected: str, reason: str) -> None:
    completion = complete(cab, " ", stop=stop)
    assert texts_of(completion) == [expected]
    assert completion.finish_reason.numpy().tolist() == [reason.encode()]
    assert completion.length.numpy().tolist() == [len(expected)]


def test_complete_compares_the_end_of_a_long_stop_string(cab: TextModel) -> None:
    stop = "x" * 20 + "cab " * (LONGEST_STOP // 4)
    completion = complete(cab, " ", stop=stop, max_chars=50)
    assert texts_of(completion) == ["cab " * (LONGEST_STOP // 4)]


def test_next_char_ranks_the_characters(forks: TextModel) -> None:
    chars, probabilities = forks.next_char(tf.constant([" ", "ba", "", "A"]))
    ranked = [[char.decode() for char in row] for row in chars.numpy()]
    assert ranked[0] == ranked[2] == ["a", "c", " ", "b"]  # space and b tie: the lower code point first
    assert ranked[1][:2] == ranked[3][:2] == ["b", " "]
    np.testing.assert_allclose(probabilities[0], [0.5, 0.25, 0.125, 0.125], atol=1e-5)
    np.testing.assert_allclose(probabilities[1, :2], [0.75, 0.25], atol=1e-5)


def test_next_char_sums_to_1_without_the_unknown_character(random_model: TextModel) -> None:
    chars, probabilities = random_model.next_char(tf.constant(["cab", "", "ж"]))
    assert probabilities.dtype == tf.float32
    np.testing.assert_allclose(tf.reduce_sum(probabilities, axis=1), np.ones(3), atol=1e-6)
    assert (np.diff(probabilities) <= 0).all()
    for row in chars.numpy():
        assert sorted(row) == [b" ", b"a", b"b", b"c"]


def test_score_by_hand(forks: TextModel) -> None:
    bits, log_probs, length, unknown, _ = forks.score(tf.constant(["ab", "", "c", "AB a"]))
    np.testing.assert_allclose(np.exp(log_probs[0]), [0.5, 0.75, 1, 1], atol=1e-5)
    np.testing.assert_allclose(np.exp(log_probs[3]), [0.5, 0.75, 1, 0.5], atol=1e-5)
    np.testing.assert_allclose(bits, [-np.log2(0.5 * 0.75) / 2, 0, 2, -np.log2(0.5 * 0.75 * 0.5) / 4], atol=1e-4)
    assert length.numpy().tolist() == [2, 0, 1, 4]
    assert unknown.numpy().tolist() == [0, 0, 0, 0]


def test_score_reads_an_unknown_character_but_does_not_count_it(cab: TextModel) -> None:
    bits, log_probs, length, unknown, _ = cab.score(tf.constant(["caжb", "ж", "жж cab"]))
    assert length.numpy().tolist() == [4, 1, 6]
    assert unknown.numpy().tolist() == [1, 1, 2]
    np.testing.assert_allclose(log_probs[0], np.zeros(6), atol=1e-4)  # after ж the fake model expects b
    np.testing.assert_allclose(bits[:2], [0, 0], atol=1e-4)
    # " " after ж is nearly impossible, and the only one of 4 known characters that is not certain
    np.testing.assert_allclose(bits[2], -np.log2(1e-30) / 4, rtol=0.01)


def test_score_is_the_chain_of_next_char_probabilities(random_model: TextModel) -> None:
    text = "cab ba c"
    log_probs = random_model.score(tf.constant([text])).char_log_probs
    chars, probabilities = random_model.next_char(tf.constant([" " + text[:end] for end in range(len(text))]))
    expected = [
        dict(zip(row.tolist(), p, strict=True))[char.encode()]
        for char, row, p in zip(text, chars.numpy(), probabilities.numpy(), strict=True)
    ]
    np.testing.assert_allclose(np.exp(log_probs[0]), expected, atol=1e-6)


@pytest.mark.parametrize("context", ["stream", "window"])
def test_score_gives_the_log_prob_of_complete(make_network: Callable, make_generator: Callable, context: str) -> None:
    model = make_generator(make_network("lstm", 2), " abc", context=context).text_model
    completion = complete(model, " ab", temperature=1.2, top_k=3, seed=5, max_chars=20)
    log_probs = model.score(tf.constant(["ab" + texts_of(completion)[0]])).char_log_probs
    np.testing.assert_allclose(completion.log_prob[0], tf.reduce_sum(log_probs[0, 2:]), rtol=1e-4)


def test_score_of_a_text_over_the_limit_stops_there(make_network: Callable, make_generator: Callable) -> None:
    limits = Limits(prompt_chars=3, completion_chars=5)
    network = make_network("lstm", 2)
    found = make_generator(network, " abc", limits=limits).text_model.score(tf.constant(["abcab", "ca", "abc"]))
    wide = make_generator(network, " abc").text_model.score(tf.constant(["abc", "ca", "abc"]))
    assert found.length.numpy().tolist() == [3, 2, 3]
    assert found.truncated.numpy().tolist() == [True, False, False]
    assert wide.truncated.numpy().tolist() == [False, False, False]
    np.testing.assert_allclose(found.char_log_probs, wide.char_log_probs, atol=1e-6)
    np.testing.assert_allclose(found.bits_per_char, wide.bits_per_char, atol=1e-6)


def test_score_of_nothing_is_zero_and_not_minus_zero(cab: TextModel) -> None:
    bits = cab.score(tf.constant(["", "ж", "cab"])).bits_per_char.numpy()  # "cab" is certain
    assert not np.signbit(bits).any()


def test_case_is_kept_where_the_corpus_kept_it(make_chain: Callable, make_generator: Callable) -> None:
    follows = {" ": {"A": 1}, "A": {"b": 1}, "b": {" ": 1}, "?": {"?": 1}}
    model = make_generator(make_chain(" Ab", follows), " Ab", lowercase=False).text_model
    assert texts_of(complete(model, "A", max_chars=4)) == ["b Ab"]
    assert model.score(tf.constant(["ab"]))[3].numpy().tolist() == [1]


NAN, INFINITE, INT32, INT64 = float("nan"), float("inf"), np.iinfo(np.int32), np.iinfo(np.int64)
ODD: dict[str, list[Any]] = {
    "temperature": [NAN, INFINITE, -INFINITE, 0.0, -1.0, 1e-38, 3e38],
    "top_p": [NAN, INFINITE, -INFINITE, 0.0, -1.0, 1e-38, 2.0],
    "top_k": [INT32.min, -1, INT32.max],
    "seed": [INT64.min, -1, INT64.max],
    "max_chars": [INT32.min, -1, INT32.max],
    "stop": [b"\xff", b"\x00", b"a" * 1000, "ж".encode()],
    "prompt": [b"\xff\xfe", b"\x00", b"\xed\xa0\x80", b"\xf0\x9f", b"ab" * 5000, "\ufdd0".encode()],
    "position": [INT64.min, -1, INT64.max],
    "state": [NAN, INFINITE, -INFINITE, 3e38, -3e38, 1e-45],
}


@pytest.mark.slow
@pytest.mark.parametrize("context", ["stream", "window"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_complete_gives_every_row_a_text_and_no_odd_row_changes_another(
    cell: str, context: str, make_network: Callable, make_generator: Callable
) -> None:
    limits = Limits(prompt_chars=50, completion_chars=30)
    model = make_generator(make_network(cell, 2), " abc", context=context, limits=limits).text_model
    tried = [(name, value) for name, values in ODD.items() for value in values]
    good = {"prompt": b"ab", "max_chars": 12, "temperature": 0.8, "top_k": 3, "top_p": 0.9, "seed": 5, "stop": b"cc"}
    columns = {name: [good[name], *(value if name == odd else good[name] for odd, value in tried)] for name in good}
    state = np.zeros([1 + len(tried), model.state_size], np.float32)
    position = np.zeros(1 + len(tried), np.int64)
    for row, (name, value) in enumerate(tried, 1):
        if name == "state":
            state[row] = value
        if name == "position":
            position[row] = value
    prompts = columns.pop("prompt")
    together = complete(model, *prompts, state=state, position=position, **columns)
    again = complete(model, *prompts, state=state, position=position, **columns)
    alone = complete(model, b"ab", **{name: good[name] for name in columns})
    assert texts_of(together) == texts_of(again)
    assert texts_of(together)[0] == texts_of(alone)[0]
    np.testing.assert_allclose(together.log_prob[0], alone.log_prob[0], rtol=1e-4)
    assert np.isfinite(together.state).all() and np.isfinite(together.log_prob).all()
    for row, (name, value) in enumerate(tried, 1):
        if name not in ("max_chars", "stop"):
            assert together.length[row] > 0, (name, value)


def test_complete_takes_what_is_no_number_for_off(random_model: TextModel) -> None:
    greedy, plain = {"temperature": 0.0}, {"temperature": 0.8, "seed": 3}
    zero = tf.zeros([1, random_model.state_size])
    assert texts_of(complete(random_model, "ab", temperature=NAN)) == texts_of(complete(random_model, "ab", **greedy))
    assert texts_of(complete(random_model, "ab", top_p=NAN, **plain)) == texts_of(complete(random_model, "ab", **plain))
    assert texts_of(complete(random_model, "ab", state=zero + NAN)) == texts_of(complete(random_model, "ab"))


@pytest.mark.parametrize(
    "settings",
    [TextSettings(), TextSettings(lowercase=False), TextSettings(case_fold=True), TextSettings(unicode_form="NFKC")],
    ids=["lower", "kept", "folded", "nfkc"],
)
def test_every_signature_takes_bytes_that_are_no_text(
    settings: TextSettings, make_network: Callable, make_generator: Callable
) -> None:
    model = make_generator(make_network("lstm", 2), " abc").text_model
    model = TextModel(model._decoder, model._lookup, settings, Limits(prompt_chars=9, completion_chars=9))
    odd = ODD["prompt"]
    good = texts_of(complete(model, b"ab"))[0]
    assert texts_of(complete(model, b"ab", *odd))[0] == good
    assert model.next_char(tf.constant([b"ab", *odd]))[0].shape == [1 + len(odd), 4]
    assert np.isfinite(model.score(tf.constant([b"ab", *odd])).bits_per_char).all()


def bounded(model: TextModel, largest: LargestRequest) -> TextModel:
    limits = Limits(prompt_chars=50, completion_chars=50)
    return TextModel(model._decoder, model._lookup, model.settings, limits, largest)


@pytest.mark.parametrize(
    ("largest", "prompts", "max_chars"),
    [
        (LargestRequest(chars=100), ["a"] * 3, 40),
        (LargestRequest(chars=100), ["a" * 45, "", ""], 4),
        (LargestRequest(floats=100), ["a"] * 9, 1),
    ],
    ids=["long texts", "one long prompt", "many rows"],
)
def test_requests_that_would_take_too_much_memory_are_refused(
    largest: LargestRequest, prompts: list[str], max_chars: int, make_network: Callable, make_generator: Callable
) -> None:
    model = bounded(make_generator(make_network("lstm", 2), " abc").text_model, largest)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a request may have at most 100 "):
        complete(model, *prompts, max_chars=max_chars)
    assert complete(model, *prompts[:1], max_chars=max_chars).length.numpy().tolist() == [max_chars]


def test_a_single_prompt_may_be_longer_than_a_request(make_network: Callable, make_generator: Callable) -> None:
    model = bounded(make_generator(make_network("lstm", 2), " abc").text_model, LargestRequest(chars=10))
    assert texts_of(complete(model, "b" * 5000 + "ab")) == texts_of(complete(model, "b" * 48 + "ab"))


@pytest.mark.slow
def test_text_model_reads_no_more_of_a_prompt_than_a_window_sees(
    make_generator: Callable, make_network: Callable
) -> None:
    generator = make_generator(make_network(), "abcd", context="window")  # windows of 4
    assert generator.text_model._most_read == 4
    assert make_generator(make_network(), "abcd").text_model._most_read == 1 << 20
    texts = [generator.generate(prompt, max_chars=20, seed=3)[0] for prompt in ("dcab", "abcd" * 5000 + "dcab")]
    assert texts[0] == texts[1]
