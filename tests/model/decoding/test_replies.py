"""Models that have learned to answer: `[REPLY]` is read, and never written; what follows it counts."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.decoding.decoder import make_decoder
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.settings import Limits
from charflow.model.decoding.text_model import TextModel
from charflow.pipeline.corpus.replies import LONGEST_QUESTION
from charflow.pipeline.errors import UserError
from charflow.pipeline.marks import NAMES
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.vocabulary import CharacterLookup, Vocabulary

CHARS = "\x02\x03abc"
FOLLOWS = {
    "\x02": {"a": 0.9, "b": 0.1},
    "a": {"b": 1},
    "b": {"\x02": 0.98, "c": 0.02},  # the likeliest is never written
    "c": {"a": 1},
}


def answering(network, limits: Limits | None = None) -> Generator:
    vocabulary = Vocabulary(CHARS)
    decoder = make_decoder(network, "stream", 4, vocabulary.never_written)
    bounds = limits or Limits(prompt_chars=99, completion_chars=64)
    return Generator(TextModel(decoder, CharacterLookup(vocabulary), TextSettings(reply=True), bounds), vocabulary)


@pytest.fixture(scope="module")
def chain(make_chain: Callable) -> Generator:
    """Answers "abc abc", without the blank."""
    return answering(make_chain(CHARS, FOLLOWS))


@pytest.fixture(scope="module")
def random_model(make_network: Callable) -> Generator:
    return answering(make_network("lstm", 1, vocabulary_size=len(CHARS) + 1))


@pytest.mark.slow
def test_generate_answers_and_never_writes_the_mark(chain: Generator) -> None:
    prompts = [chain.asked("cc"), chain.asked("cc", "a"), chain.asked(""), ""]
    texts = chain.generate(prompts, temperature=0.0, max_chars=4)
    assert [text.text for text in texts] == ["abca", "bcab", "abca", "abca"]
    assert texts[1].log_prob == pytest.approx(0.0, abs=1e-4)  # the probability of what is never written is not missing
    hot = chain.generate(["\x02"] * 20, temperature=4.0, max_chars=64)
    assert "\x02" not in "".join(text.text for text in hot)


@pytest.mark.slow
def test_an_answer_depends_on_the_question(random_model: Generator) -> None:
    texts = random_model.generate([random_model.asked(question) for question in ("ab", "bb", "")], temperature=0.0)
    assert len({text.text for text in texts}) > 1


@pytest.mark.slow
def test_of_a_question_is_read_what_training_reads(random_model: Generator) -> None:
    seen = "ab" * (LONGEST_QUESTION // 2)
    asked = [f"{question}\x02c" for question in (seen, "cc" + seen, "b\x02cc" + seen, "щ\u200b" + seen, seen[1:])]
    bits = random_model.text_model.score(tf.constant(asked)).bits_per_char.numpy()
    assert len(set(bits[:4])) == 1
    assert bits[0] != bits[4]
    texts = [text.log_prob for text in random_model.generate(asked, temperature=0.0, max_chars=3)]
    assert len(set(texts[:4])) == 1


@pytest.mark.slow
def test_a_prompt_without_a_question_begins_an_answer_to_nobody(random_model: Generator) -> None:
    texts = random_model.generate(["ab", "\x02ab", "", "\x02"], temperature=0.0, max_chars=5)
    assert texts[0].text == texts[1].text == random_model.generate("ab", temperature=0.0, max_chars=5)[0].text
    assert texts[2] == texts[3]


def test_a_question_that_is_no_text_fails_no_batch(random_model: Generator) -> None:
    prompts = tf.constant([b"\xa9\xff" * 200 + b"\x02a", b"\x00\x02", "щ".encode() * 200 + b"\x02", b"\x03\x02\x02"])
    assert random_model.text_model.score(prompts).length.numpy().tolist() == [2, 1, 1, 1]


def test_a_run_that_has_not_learned_to_answer_says_so(make_chain: Callable, make_generator: Callable) -> None:
    with pytest.raises(UserError, match=r"^The run has not learned to answer: train one with reply, or leave reply_to"):
        make_generator(make_chain("ab", {"a": {"b": 1}}), "ab").asked("how?")


def test_next_char_has_the_characters_that_can_be_written(chain: Generator) -> None:
    chars, probabilities = chain.text_model.next_char(tf.constant(["cc\x02", "ab"]))
    assert sorted(chars.numpy()[0].tolist()) == [b"[END]", b"a", b"b", b"c"]
    assert chars.numpy()[0][:2].tolist() == [b"a", b"b"]
    np.testing.assert_allclose(probabilities[0, :2], [0.9, 0.1], atol=1e-5)
    assert chars.numpy()[1][0] == b"c"
    np.testing.assert_allclose(tf.reduce_sum(probabilities, axis=1), 1.0, atol=1e-5)


def test_score_counts_what_follows_the_question(random_model: Generator) -> None:
    asked, alone, nothing = "bca\x02abc", "abc", "cab\x02"
    scores = random_model.text_model.score(tf.constant([asked, alone, nothing, "a\x02b" + asked, f"\x02{alone}"]))
    assert scores.length.numpy().tolist() == [4, 4, 1, 4, 4]  # the end is one
    assert scores.unknown_chars.numpy().tolist() == [0] * 5
    bits = scores.bits_per_char.numpy()
    assert bits[1] == bits[4]  # nothing is answered
    assert bits[0] != bits[1]
    nats = 0.0
    for place, char in enumerate("abc\x03"):
        chars, probabilities = random_model.text_model.next_char(tf.constant(["bca\x02" + "abc"[:place]]))
        named = NAMES.get(char, char).encode()
        nats -= np.log(probabilities.numpy()[0, chars.numpy()[0].tolist().index(named)])
    assert bits[0] == pytest.approx(nats / 4 / np.log(2), abs=1e-4)


def test_score_keeps_the_end_of_a_long_question_and_the_beginning_of_a_long_answer(make_network: Callable) -> None:
    model = answering(make_network("lstm", 1, vocabulary_size=6), Limits(prompt_chars=4, completion_chars=9)).text_model
    scores = model.score(tf.constant(["ccccabc\x02abcabc", "abc\x02abca"]))
    assert scores.length.numpy().tolist() == [4, 5]
    assert scores.truncated.numpy().tolist() == [True, False]
    np.testing.assert_allclose(scores.char_log_probs[0, :4], scores.char_log_probs[1, :4], rtol=1e-5)
