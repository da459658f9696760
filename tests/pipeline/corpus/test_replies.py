"""What is answered, against a loop over the rows; and the ids that are only read."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline.corpus.corpus import Corpus, build_corpus
from charflow.pipeline.corpus.kept_texts import kept_texts
from charflow.pipeline.corpus.replies import LONGEST_QUESTION
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import SettingError
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.read_only import is_learned, plain
from charflow.pipeline.sample_chat import SAMPLE_BOT
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.vocabulary import Vocabulary
from tests.pipeline.corpus.test_corpus import write_chat

REPLY = TextSettings(reply=True)
Row = tuple[str, str]
CHAT: list[Row] = [
    ("ada", "One"),
    ("bo", "Two?"),
    ("ada", "Yes, two"),
    ("ada", "and more"),
    ("bo", "not heard"),
    ("cy", "HEARD"),
    ("bot", "beep"),
    ("bo", ""),
    ("ada", "Four"),
    ("bo", "for nobody"),
]
PAIRS = [("", "one"), ("two?", "yes, two"), ("", "and more"), ("heard", "four")]


class Rows:
    """Rows as `Messages` yields them, in batches."""

    def __init__(self, rows: list[Row], batch: int) -> None:
        self._rows, self._batch = rows, batch

    def dataset(self) -> tf.data.Dataset:
        users, texts = (tf.constant([row[part] for row in self._rows], tf.string) for part in (0, 1))
        return tf.data.Dataset.from_tensor_slices((users, texts)).batch(self._batch)


def slow_pairs(rows: list[Row], *, user: str, dropped: str = "", min_length: int = 1) -> list[Row]:
    """Question and answer of each message that is kept, one row after the other."""
    question, found = "", []
    for writer, text in rows:
        said = re.sub("[\u200b\x02\x03]", "", text).lower()
        if writer == dropped or not said:
            continue
        if writer == user:
            if len(text) >= min_length:
                found.append((question[-LONGEST_QUESTION:], said))
            question = ""
        else:
            question = said
    return found


def texts_of(rows: list[Row], batch: int, settings: CorpusSettings) -> list[list[str]]:
    batches = kept_texts(Rows(rows, batch), settings)
    return [[text.decode() for text in texts.numpy()] for texts, *_ in batches]


def joined(pairs: list[Row], vocabulary: Vocabulary | None = None) -> str:
    """The text of pairs; as a vocabulary reads it."""
    text = "".join(f"{question}\x02{answer}\x03" for question, answer in pairs)
    return text if vocabulary is None else vocabulary.decode(vocabulary.encode(text))


@pytest.fixture
def chat(tmp_path: Path) -> str:
    return write_chat(tmp_path / "chat.csv", CHAT)


@pytest.fixture
def corpus(chat: str) -> Corpus:
    return Corpus.from_csv(chat, user="ada", drop_users="bot", text=REPLY)


def test_a_corpus_of_replies_has_each_message_behind_what_it_answers(corpus: Corpus) -> None:
    assert slow_pairs(CHAT, user="ada", dropped="bot") == PAIRS
    assert corpus.vocabulary.decode(corpus.ids) == joined(PAIRS, corpus.vocabulary)
    assert corpus.messages == len(PAIRS)


def test_a_corpus_of_replies_learns_the_answers_alone(corpus: Corpus) -> None:
    size, decode = corpus.vocabulary.size, corpus.vocabulary.decode
    learned = is_learned(corpus.ids, size)
    assert decode(corpus.ids[learned]) == "one\x03yes, two\x03and more\x03four\x03"
    assert decode(plain(corpus.ids[~learned].astype(int), size)) == "\x02two\ufffd\x02\x02\ufffdeard\x02"
    assert corpus.count_learned(0, corpus.characters) == learned.sum()
    assert decode(corpus.ids[corpus.vocabulary.are_replies(corpus.ids)]) == "\x02" * len(PAIRS)


def test_a_corpus_of_replies_knows_the_characters_of_the_answers(tmp_path: Path) -> None:
    corpus = Corpus.from_csv(
        write_chat(tmp_path / "chat.csv", [("bo", "abc!"), ("ada", "cab")]), user="ada", text=REPLY
    )
    assert corpus.vocabulary.chars == ("\x02", "\x03", "a", "b", "c")
    assert corpus.vocabulary.decode(corpus.ids) == "abc\ufffd\x02cab\x03"
    assert corpus.ids.tolist() == [9, 10, 11, 6, 7, 5, 3, 4, 2]


def test_a_corpus_of_replies_has_ids_of_two_bytes_above_128_characters(tmp_path: Path) -> None:
    wide = "".join(chr(0x4E00 + place) for place in range(200))
    corpus = Corpus.from_csv(write_chat(tmp_path / "chat.csv", [("bo", wide), ("ada", wide)]), user="ada", text=REPLY)
    assert corpus.ids.dtype == np.uint16
    assert corpus.vocabulary.decode(corpus.ids) == joined([(wide[-LONGEST_QUESTION:], wide)])


def test_the_held_out_answers_keep_their_questions(tmp_path: Path) -> None:
    rows = [("bo", f"how is number {place}?") if place % 2 else ("ada", "very " * 50) for place in range(400)]
    corpus = Corpus.from_csv(write_chat(tmp_path / "chat.csv", rows), user="ada", text=REPLY, held_out=0.25)
    tail = corpus.vocabulary.decode(corpus.held_out_ids)
    assert tail == joined(slow_pairs(rows, user="ada")[-50:], corpus.vocabulary)


def test_a_long_message_is_read_only_up_to_its_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are decoded a piece at a time, and a piece may end anywhere."""
    monkeypatch.setattr("charflow.pipeline.corpus.joined_texts._BYTES_AT_ONCE", 5)
    chat = write_chat(tmp_path / "chat.csv", [("bo", "щука і кіт?"), ("ada", "кіт " * 9), ("bo", "a"), ("ada", "так")])
    corpus = Corpus.from_csv(chat, user="ada", text=REPLY)
    learned = corpus.ids[is_learned(corpus.ids, corpus.vocabulary.size)]
    assert corpus.vocabulary.decode(learned) == "кіт " * 9 + "\x03так\x03"


@pytest.mark.slow
def test_replies_equal_a_loop_over_the_sample_chat(sample_chat: str, sample_table: pd.DataFrame) -> None:
    rows = list(zip(sample_table["fromUser.id"], sample_table["text"], strict=True))
    for user in ("mira", "noor"):
        corpus = Corpus.from_csv(sample_chat, user=user, drop_users=SAMPLE_BOT, min_length=60, text=REPLY)
        pairs = slow_pairs(rows, user=user, dropped=SAMPLE_BOT, min_length=60)
        assert corpus.vocabulary.decode(corpus.ids) == joined(pairs, corpus.vocabulary)


rows_of_chats = st.lists(
    st.tuples(
        st.sampled_from(["ada", "bo", "cy", "bot"]),
        st.sampled_from(["", "\u200b", "No", "\x02y\x03", "Щука", "x" * 70]),
    ),
    max_size=14,
)


@pytest.mark.slow
@settings(max_examples=12)
@given(rows=rows_of_chats, batch=st.integers(1, 5), min_length=st.integers(0, 3))
def test_replies_do_not_depend_on_the_batches(rows: list[Row], batch: int, min_length: int) -> None:
    settings = CorpusSettings(users=("ada",), drop_users=("bot",), min_length=min_length, text=REPLY)
    found, pairs = texts_of(rows, batch, settings), slow_pairs(rows, user="ada", dropped="bot", min_length=min_length)
    assert [text for texts in found for text in texts] == [f"{question}\x02{answer}" for question, answer in pairs]


def test_replies_are_somebodys(chat: str) -> None:
    with pytest.raises(SettingError, match=r"^reply learns what one person answers .* name the person with users\.$"):
        Corpus.from_csv(chat, text=REPLY)


@pytest.mark.slow
def test_replies_to_nobody_are_refused(tmp_path: Path) -> None:
    rows = [("ada", "One"), ("ada", "Two"), ("bot", "beep"), ("ada", "Three"), ("bo", "unheard")]
    chat = write_chat(tmp_path / "chat.csv", rows)
    settings = CorpusSettings(users=("ada",), drop_users=("bot",), text=REPLY)
    for read in (build_corpus, lambda *of: prepare_corpus(*of, tmp_path / "to")):
        with pytest.raises(SettingError, match=r"^No message answers anybody: nobody else wrote .* Leave reply out\.$"):
            read(chat, settings)


def test_replies_end() -> None:
    assert TextSettings(reply=True) == TextSettings(reply=True, ends=True)


def test_a_chat_without_replies_is_what_it_was(chat: str) -> None:
    plain, ends = (build_corpus(chat, CorpusSettings(text=TextSettings(ends=ends))) for ends in (False, True))
    assert not plain.vocabulary.replies
    assert not ends.vocabulary.replies
    assert ends.count_learned(0, ends.characters) == ends.characters
