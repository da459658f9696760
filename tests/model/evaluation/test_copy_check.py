"""The longest copied run against trying every substring."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.model.evaluation import copy_check
from charflow.model.evaluation.copy_check import CopiedRun, Copies, copied_characters, find_copies, longest_copied_run
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


def in_memory(words: str) -> TextInMemory:
    vocabulary = Vocabulary("\x03abcdefghijklmnopqrstuvwxyz")
    return TextInMemory(Corpus(vocabulary.encode(words), len(words), vocabulary, 1, {}, 1, 0))


WORDS = "".join(np.random.default_rng(0).choice([*"abcdefghijklmnopqrstuvwxyz"], 400))


@pytest.mark.parametrize("start", [0, 20, 35, 41, 262, 340])
def test_find_copies_looks_across_the_pieces_of_a_training_text(start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charflow.model.evaluation.copy_check._COMPARED_AT_ONCE", 40)
    run = WORDS[start : start + 60]
    found = find_copies(in_memory(WORDS), ["q", f"é{run}é", f"{run[:30]}é{run[30:]}"])
    assert (found.longest.text, found.longest.corpus_start) == (run, start)
    assert found.characters == [0, 60, 0]


def test_find_copies_tells_how_far_it_is_and_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charflow.model.evaluation.copy_check._COMPARED_AT_ONCE", 40)
    monkeypatch.setattr("charflow.model.evaluation.copy_check._MOST_COMPARED", 160)
    shares: list[float] = []
    assert find_copies(in_memory(WORDS), [WORDS[300:380]], shares.append).compared == 160
    assert shares == [0.0, 0.25, 0.5, 0.75]


def test_find_copies_of_nothing_is_nothing() -> None:
    assert find_copies(in_memory(WORDS), ["é", ""]) == Copies(400, NOTHING, [0, 0])


def test_find_copies_goes_over_the_ends_of_messages_but_not_of_samples() -> None:
    text = in_memory(f"{WORDS[:30]}\x03{WORDS[30:60]}")
    assert find_copies(text, [f"{WORDS[:30]}\x03{WORDS[30:60]}"]).characters == [61]
    assert find_copies(text, [f"{WORDS[:30]}\x03", WORDS[30:60]]).characters == [0, 0]


@settings(max_examples=300)
@given(generated=st.text("ab", max_size=12), corpus=st.text("ab", max_size=16), length=st.integers(1, 6))
def test_copied_characters_are_those_of_every_shared_run(generated: str, corpus: str, length: int) -> None:
    expected = [
        any(
            generated[start : start + length] in corpus
            for start in range(place - length + 1, place + 1)
            if start >= 0 and start + length <= len(generated)
        )
        for place in range(len(generated))
    ]
    assert copied_characters(generated, corpus, length=length).tolist() == expected
