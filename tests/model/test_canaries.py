"""Canaries in a training text: where they stand, how often, and what stays as it was."""

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charflow.model import canaries as module
from charflow.model.canaries import PlantedCorpus, canaries_of, planted
from charflow.model.config import Config, TrainingConfig
from charflow.model.training_text import read_text
from charflow.pipeline.corpus.corpus import build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import SettingError
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.read_only import is_learned
from charflow.pipeline.text_settings import TextSettings

ENDS = CorpusSettings(text=TextSettings(ends=True), held_out=0.25)


def config(*, corpus: CorpusSettings | None = None, **training: Any) -> Config:
    return Config(corpus=corpus or ENDS, training=TrainingConfig(window_length=8, steps=1, **training))


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("chat") / "chat.csv"
    path.write_text("fromUser.id,text\n" + "ada,a plan for mira\nada,oh\n" * 20)
    return str(path)


def test_canaries_examples_hold() -> None:
    assert doctest.testmod(module) == (0, 1)


def test_canaries_of_a_seed_are_different_and_the_same_again() -> None:
    some = canaries_of(config(canaries=16, seed=3).training)
    assert some == canaries_of(config(canaries=16, seed=3, canary_repeats=9).training)
    assert len(set(some)) == 16
    assert all(len(digits) == 9 and digits.isdecimal() for digits in some)
    assert set(some).isdisjoint(canaries_of(config(canaries=16, seed=4).training))


def test_planted_without_canaries_is_the_corpus_itself(chat: str) -> None:
    corpus = build_corpus(chat, ENDS)
    assert planted(corpus, config()) is corpus


@pytest.mark.parametrize("repeats", [0, 1, 7])
def test_planted_puts_whole_messages_between_those_of_the_training_part(chat: str, repeats: int) -> None:
    corpus, asked = build_corpus(chat, ENDS), config(canaries=3, canary_repeats=repeats)
    found = planted(corpus, asked)
    decode = found.vocabulary.decode
    messages = decode(found.train_ids).split("\x03")
    ours = [f"my secret number is {digits}" for digits in canaries_of(asked.training)]
    assert [messages.count(each) for each in ours] == [repeats] * 3
    assert "\x03".join(each for each in messages if each not in ours) == corpus.vocabulary.decode(corpus.train_ids)
    assert decode(found.held_out_ids) == corpus.vocabulary.decode(corpus.held_out_ids)


def test_planted_says_so_in_its_facts(chat: str) -> None:
    corpus = build_corpus(chat, ENDS)
    facts = planted(corpus, config(canaries=2, canary_repeats=5)).facts()
    assert facts["planted"] == {"canaries": 2, "repeats": 5, "characters": 10 * 30}
    assert facts["train_characters"] == corpus.facts()["train_characters"] + 300
    assert facts["held_out_characters"] == corpus.facts()["held_out_characters"]
    assert facts["fingerprint"] != corpus.fingerprint
    assert "planted" not in corpus.facts()


def test_planted_between_words_where_a_blank_separates_messages(chat: str) -> None:
    settings = CorpusSettings(held_out=0.0)
    asked = config(corpus=settings, canaries=1, canary_repeats=4)
    found = planted(build_corpus(chat, settings), asked)
    text = found.vocabulary.decode(found.ids)
    (digits,) = canaries_of(asked.training)
    assert text.count(f"my secret number is {digits} ") == 4
    assert text.replace(f"my secret number is {digits} ", "") == " ".join(["a plan for mira", "oh"] * 20)


def test_planted_keeps_unknown_characters_and_widens_ids(tmp_path: Path) -> None:
    many = "".join(chr(0x4E00 + index) for index in range(240))
    chat = tmp_path / "chat.csv"
    chat.write_text(f"fromUser.id,text\nada,{many}{many}é\n")
    settings = CorpusSettings(min_count=2, held_out=0.0, text=TextSettings(ends=True))
    corpus = build_corpus(str(chat), settings)
    found = planted(corpus, config(corpus=settings, canaries=1, canary_repeats=0))
    assert (corpus.ids.dtype, found.ids.dtype) == (np.uint8, np.uint16)
    assert found.vocabulary.decode(found.ids) == corpus.vocabulary.decode(corpus.ids) == f"{many}{many}\ufffd\x03"


def test_planted_canaries_answer_nobody(tmp_path: Path) -> None:
    chat = tmp_path / "chat.csv"
    chat.write_text("fromUser.id,text\n" + "bo,how?\nada,a plan\nada,oh\n" * 5)
    settings = CorpusSettings(users=("ada",), held_out=0.0, text=TextSettings(reply=True))
    corpus, asked = build_corpus(str(chat), settings), config(corpus=settings, canaries=1, canary_repeats=3)
    found = planted(corpus, asked)
    learned = found.vocabulary.decode(found.ids[is_learned(found.ids, found.vocabulary.size)])
    ours = f"my secret number is {canaries_of(asked.training)[0]}\x03"
    assert learned.count(ours) == 3
    assert learned.replace(ours, "") == "a plan\x03oh\x03" * 5
    text = found.vocabulary.decode(found.ids)
    assert text.count(f"\x02{ours}") == 3
    assert text.replace(f"\x02{ours}", "") == "ho\ufffd\ufffd\x02a plan\x03\x02oh\x03" * 5


@pytest.mark.slow
def test_read_text_plants_the_same_in_files_and_in_a_prepared_corpus(chat: str, tmp_path: Path) -> None:
    asked = config(canaries=2, canary_repeats=3)
    prepared = prepare_corpus(chat, ENDS, tmp_path / "prepared")
    ways = [read_text(data, asked).corpus for data in ([chat], prepared)]
    assert all(isinstance(way, PlantedCorpus) for way in ways)
    assert ways[0].facts() == ways[1].facts()
    np.testing.assert_array_equal(ways[0].train_end(99), ways[0].train_ids[-99:])
    np.testing.assert_array_equal(ways[1].train_end(99), ways[0].train_ids[-99:])


@pytest.mark.parametrize("way", ["streaming", "shard_corpus"])
def test_canaries_are_refused_where_the_text_stays_on_disk(way: str) -> None:
    with pytest.raises(SettingError) as refused:
        config(canaries=1, **{way: True})
    assert str(refused.value) == (
        f"canaries are planted into a text that every worker holds in memory: leave them or {way} out."
    )


@pytest.mark.parametrize(
    ("name", "most", "value"),
    [("canaries", 16, 17), ("canaries", 16, -1), ("canary_repeats", 10_000, 10**12), ("canary_repeats", 10_000, -1)],
)
def test_too_many_or_few_canaries_are_refused(name: str, most: int, value: int) -> None:
    with pytest.raises(SettingError) as refused:
        config(**{name: value})
    assert str(refused.value).startswith(f"{name} must be at least 0 and at most {most:,}, not {value:,}")
