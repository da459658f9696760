"""The tail of each person's messages, against the loop that counts them one by one."""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.held_out import Tails
from charflow.pipeline.text_settings import TextSettings

CHAT = [*[("ada", f"ada {n}") for n in range(6)], ("bo", "bo 0"), ("cy", "cy 0"), ("bo", "bo 1"), ("ada", "ada 6")]


@pytest.fixture
def chat(tmp_path: Path) -> str:
    path = tmp_path / "chat.csv"
    pd.DataFrame(CHAT, columns=["fromUser.id", "text"]).to_csv(path, index=False, quoting=csv.QUOTE_ALL)
    return str(path)


def slow_tails(people: list[int], share: float) -> list[bool]:
    places, of_each = defaultdict(list), Counter(people)
    held_out = [False] * len(people)
    for place, person in enumerate(people):
        places[person].append(place)
    for person, count in of_each.items():
        for place in places[person][count - int(count * share) :]:
            held_out[place] = True
    return held_out


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.lists(st.sampled_from([0, 3, 2**63 - 2, 2**40]), max_size=20), min_size=1, max_size=6),
    share=st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 0.99]),
)
def test_tails_equal_the_loop_however_batched(batches: list[list[int]], share: float) -> None:
    tails, arrays = Tails(share), [np.array(batch, np.int64) for batch in batches]
    for batch in arrays:
        tails.count(batch)
    expected = slow_tails([person for batch in batches for person in batch], share)
    for _ in range(2):  # passes
        are_held_out = tails.from_start()
        assert [held for batch in arrays for held in are_held_out(batch).tolist()] == expected
    assert tails.messages == sum(expected)


def test_held_out_by_person_is_the_end_of_each_ones_messages(chat: str) -> None:
    corpus = Corpus.from_csv(chat, held_out=0.5, held_out_by="person", text=TextSettings(ends=True))
    learned, held_out = (
        corpus.vocabulary.decode(ids).split("\x03")[:-1] for ids in (corpus.train_ids, corpus.held_out_ids)
    )
    assert learned == ["ada 0", "ada 1", "ada 2", "ada 3", "bo 0", "cy 0"]
    assert held_out == ["ada 4", "ada 5", "bo 1", "ada 6"]
    assert (corpus.messages, corpus.held_out_messages) == (10, 4)


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "blanks"])
@pytest.mark.parametrize("person", ["ada", "bo", "cy"])
def test_held_out_by_person_everybody_learns_nothing_of_what_one_is_judged_by(
    person: str, ends: bool, chat: str
) -> None:
    of = {"held_out": 0.5, "held_out_by": "person", "text": TextSettings(ends=ends)}
    everybody, alone, other = (Corpus.from_csv(chat, user=who, **of) for who in (None, person, ["cy", person]))
    for corpus in (everybody, other):
        learned = corpus.vocabulary.decode(corpus.train_ids)
        if alone.held_out_messages:
            tail = [text for name, text in CHAT if name == person][-alone.held_out_messages :]
            assert not any(text in learned for text in tail)


@pytest.mark.parametrize("fraction", [1.0, 0.7])
def test_held_out_by_person_is_the_same_as_by_messages_where_there_is_one(fraction: float, chat: str) -> None:
    by_person, by_messages = (
        Corpus.from_csv(chat, user="ada", held_out=0.3, held_out_by=by, fraction=fraction)
        for by in ("person", "messages")
    )
    assert by_person.facts() == by_messages.facts()


def test_held_out_by_person_counts_in_the_fraction_only(chat: str) -> None:
    corpus = Corpus.from_csv(chat, held_out=0.5, held_out_by="person", fraction=0.7, text=TextSettings(ends=True))
    assert corpus.vocabulary.decode(corpus.held_out_ids) == "ada 3\x03ada 4\x03ada 5\x03"
