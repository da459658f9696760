"""The longest copied run against trying every substring."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.model.evaluation import copy_check
from charflow.model.evaluation.copy_check import CopiedRun, longest_copied_run, longest_copy
from charflow.model.training_text import TextInMemory
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.vocabulary import Vocabulary

FEW_LETTERS = st.text("ab", max_size=40)
ANY_CHARACTERS = st.text(st.sampled_from("aé字😀🙂\ud800\x00"), max_size=20)
NOTHING = CopiedRun(length=0, text="", generated_start=0, corpus_start=0)


def brute_force(generated: str, corpus: str) -> CopiedRun:
    for length in range(len(generated), 0, -1):
        for start in range(len(generated) - length + 1):
            text = generated[start : start + length]
            if text in corpus:
                return CopiedRun(length=length, text=text, generated_start=start, corpus_start=corpus.index(text))
    return NOTHING


@settings(max_examples=300)
@given(generated=FEW_LETTERS, corpus=FEW_LETTERS)
def test_equals_brute_force_on_repetitive_texts(generated: str, corpus: str) -> None:
    assert longest_copied_run(generated, corpus) == brute_force(generated, corpus)


@given(generated=ANY_CHARACTERS, corpus=ANY_CHARACTERS)
def test_equals_brute_force_on_any_characters(generated: str, corpus: str) -> None:
    assert longest_copied_run(generated, corpus) == brute_force(generated, corpus)


@given(before=st.text("abc", max_size=20), run=st.text("abc", max_size=40), after=st.text("abc", max_size=20))
def test_equals_brute_force_on_a_planted_run(before: str, run: str, after: str) -> None:
    generated, corpus = before + run + after, after + run + before
    assert longest_copied_run(generated, corpus) == brute_force(generated, corpus)


@given(generated=FEW_LETTERS, corpus=FEW_LETTERS, block=st.integers(1, 5), largest_table=st.integers(0, 50))
def test_does_not_depend_on_block_or_table_size(generated: str, corpus: str, block: int, largest_table: int) -> None:
    with mock.patch.multiple(copy_check, _BLOCK=block, _LARGEST_TABLE=largest_table):
        found = longest_copied_run(generated, corpus)
    assert found == brute_force(generated, corpus)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65])
def test_finds_runs_of_every_length(length: int) -> None:
    run = "".join(chr(0x4E00 + i) for i in range(length))
    assert longest_copied_run(f"xx{run}x", f"--{run}----") == CopiedRun(
        length=length, text=run, generated_start=2, corpus_start=2
    )


@pytest.mark.parametrize(
    ("generated", "corpus"),
    [
        pytest.param("", "", id="both empty"),
        pytest.param("", "abc", id="nothing generated"),
        pytest.param("abc", "", id="empty corpus"),
        pytest.param("abc", "xyz", id="no shared character"),
    ],
)
def test_without_a_shared_character_the_run_is_empty(generated: str, corpus: str) -> None:
    assert longest_copied_run(generated, corpus) == NOTHING


def test_ties_return_the_first_in_the_generated_text_at_its_first_place_in_the_corpus() -> None:
    assert longest_copied_run("dog cat", "cat,dog,dog") == CopiedRun(
        length=3, text="dog", generated_start=0, corpus_start=4
    )


def test_positions_count_astral_characters_once() -> None:
    assert longest_copied_run("😀😀hi 🙂!", "🙂🙂🙂hi 🙂?") == CopiedRun(
        length=4, text="hi 🙂", generated_start=2, corpus_start=3
    )


def test_a_text_copied_whole_is_found_whole() -> None:
    corpus = "".join(chr(97 + i * i % 23) + str(i) for i in range(3_000))
    assert longest_copied_run(corpus[5_000:9_000], corpus) == CopiedRun(
        length=4_000, text=corpus[5_000:9_000], generated_start=0, corpus_start=5_000
    )


def test_a_corpus_shorter_than_the_generated_text_is_found_inside_it() -> None:
    assert longest_copied_run("xxabcxx", "abc") == CopiedRun(length=3, text="abc", generated_start=2, corpus_start=0)


def test_longest_copy_looks_across_the_pieces_of_a_training_text(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz")
    words = "".join(np.random.default_rng(0).choice(list(vocabulary.chars), 300))
    text = TextInMemory(Corpus(vocabulary.encode(words), 300, vocabulary, 1, {}, 1, 0))
    monkeypatch.setattr("charflow.model.evaluation.copy_check._COMPARED_AT_ONCE", 40)
    for start in (0, 20, 35, 41, 262):  # inside a piece, across two, at the end
        sample = "é" + words[start : start + 30] + "é"
        assert longest_copy(text, ["q", sample]).text == words[start : start + 30]
    assert longest_copy(text, []) is None


def test_longest_copy_reads_the_ends_of_messages_as_samples_show_them() -> None:
    vocabulary = Vocabulary("\x03abc")
    text = TextInMemory(Corpus(vocabulary.encode("abc\x03cba\x03"), 8, vocabulary, 1, {}, 1, 0))
    assert longest_copy(text, ["bc\ncb"]).text == "bc\ncb"
