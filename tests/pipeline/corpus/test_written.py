"""Who wrote which character: against the corpus that the same settings make, and the messages as they stand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charflow.pipeline.corpus import written as module
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.corpus.corpus import build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.corpus.written import WrittenText
from charflow.pipeline.errors import UserError
from charflow.pipeline.marks import END
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.vocabulary import Vocabulary

PEOPLE = "abc"


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Each writes their own letter only."""
    path = tmp_path_factory.mktemp("chat") / "chat.csv"
    rows = [(user, f"{user * (1 + n % 5)}☂") for n in range(300) for user in PEOPLE[: 1 + n % 3]]
    path.write_text("fromUser.id,text\n" + "".join(f"{user},{text}\n" for user, text in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("fraction", [1.0, 0.1])
def test_written_text_is_what_a_corpus_learns(
    chat: str, ends: bool, fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    monkeypatch.setattr(module, "_MESSAGES_AT_ONCE", 3)
    settings = CorpusSettings(held_out=0.25, held_out_by="person", fraction=fraction, text=TextSettings(ends=ends))
    corpus = build_corpus(chat, settings)
    assert corpus.messages == 600 * fraction
    pieces = list(WrittenText(chat, settings, corpus.vocabulary, corpus.messages).pieces())
    ids, writers = map(np.concatenate, zip(*pieces, strict=True))
    np.testing.assert_array_equal(ids[: corpus.split], corpus.train_ids)
    assert (ids.dtype, len(ids), len(writers)) == (corpus.ids.dtype, corpus.split, corpus.split)
    by_letter = [set(writers[ids == corpus.vocabulary.encode(letter)[0]].tolist()) for letter in PEOPLE]
    assert [len(numbers) for numbers in by_letter] == [1, 1, 1]
    assert set.union(*by_letter) == {1, 2, 3}


def test_written_text_reads_its_files_once(chat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = WrittenText(chat, CorpusSettings(held_out_by="person"), Vocabulary("ab☂ "))
    first = [ids.tolist() for ids, _ in text.pieces()]
    monkeypatch.setattr(module, "read_messages", None)
    assert [ids.tolist() for ids, _ in text.pieces()] == first


def test_written_text_of_nobody_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "chat.csv"
    path.write_text("fromUser.id,text\na,b\n")
    text = WrittenText(str(path), CorpusSettings(drop_users=("a",), held_out_by="person"), Vocabulary("b"))
    assert list(text.pieces()) == []


def test_written_text_without_room_says_so(chat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "scratch_file", lambda name: Path("/dev/full"))
    text = WrittenText(chat, CorpusSettings(held_out_by="person"), Vocabulary("a"))
    with pytest.raises(UserError, match=r"^/dev/full cannot be written \(No space left on device\): free some room"):
        list(text.pieces())


def test_written_text_knows_how_much_of_whose_is_left_out(chat: str) -> None:
    settings = CorpusSettings(held_out=0.25, held_out_by="person", text=TextSettings(ends=True))
    corpus = build_corpus(chat, settings)
    left_out = WrittenText(chat, settings, corpus.vocabulary).left_out()
    held_out = corpus.vocabulary.decode(corpus.held_out_ids).split(END)[:-1]
    for user in PEOPLE:
        assert left_out.of(user) == sum(len(text) + 1 for text in held_out if user in text) > 0
    assert left_out.of("nobody") == 0


def test_written_text_can_be_had_without_somebody(chat: str) -> None:
    vocabulary = Vocabulary("abc☂")
    text = WrittenText(chat, CorpusSettings(held_out_by="person"), vocabulary)
    whole, writers = map(np.concatenate, zip(*text.pieces(), strict=True))
    others, theirs = map(np.concatenate, zip(*text.pieces(["b"]), strict=True))
    b = writers[whole == vocabulary.encode("b")[0]][0]
    np.testing.assert_array_equal(others, whole[writers != b])
    np.testing.assert_array_equal(theirs, writers[writers != b])


def test_written_text_has_a_place_in_the_cache_of_its_own(chat: str, tmp_path: Path) -> None:
    cache, settings, vocabulary = CorpusCache(tmp_path), CorpusSettings(held_out_by="person"), Vocabulary("a")
    place = WrittenText(chat, settings, vocabulary, cache=cache).place
    others = [
        WrittenText(chat, replace(settings, held_out=0.2), vocabulary, cache=cache).place("counts", [1]),
        WrittenText(chat, settings, Vocabulary("b"), cache=cache).place("counts", [1]),
        WrittenText(chat, settings, vocabulary, 3, cache=cache).place("counts", [1]),
        place("counts", [2]),
        place("counts", [1]),
    ]
    assert len(set(others)) == 5
    assert place("counts", [1]) == others[-1]
    assert WrittenText(chat, settings, vocabulary).place("counts", [1]) is None
