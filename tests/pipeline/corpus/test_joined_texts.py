"""Kept messages as bytes, in memory and in a file without a name."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from charflow.pipeline.code_points import COUNTED, named
from charflow.pipeline.corpus import joined_texts
from charflow.pipeline.corpus.joined_texts import JoinedTexts, JoinedTextsOnDisk, first_texts
from charflow.pipeline.errors import UserError
from charflow.pipeline.marks import END
from charflow.pipeline.text_settings import TextSettings

PLAIN = TextSettings()


def joined(*texts: str, settings: TextSettings = PLAIN) -> JoinedTexts:
    people = tf.range(len(texts), dtype=tf.int64)
    return JoinedTexts.of(tf.constant([text.encode() for text in texts], tf.string), people, settings)


def text_of(*batches: JoinedTexts, settings: TextSettings = PLAIN) -> str:
    return "".join(chr(point) for batch in batches for points in batch.points(settings) for point in points)


BATCHES = [joined("ab", "é", "😀\0"), joined(), joined("c")]


def test_joined_texts_have_a_separator_behind_each() -> None:
    assert text_of(*BATCHES) == "ab é 😀\0 c "
    ended = TextSettings(ends=True)
    assert text_of(joined("a", "b", settings=ended), settings=ended) == f"a{END}b{END}"


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_joined_texts_are_decoded_piece_by_piece(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined_texts, "_BYTES_AT_ONCE", at_once)
    assert text_of(BATCHES[0]) == "ab é 😀\0 "


def test_joined_texts_are_counted() -> None:
    counts = np.zeros(COUNTED, np.int64)
    for batch in BATCHES:
        batch.count_in(counts, PLAIN)
    assert named(counts) == {"\0": 1, " ": 4, "a": 1, "b": 1, "c": 1, "é": 1, "😀": 1}


@pytest.mark.parametrize(
    ("which", "text"), [("101", "ab 😀\0 "), ("010", "é "), ("111", "ab é 😀\0 "), ("000", "")], ids=str
)
def test_chosen_texts_stay_in_order(which: str, text: str) -> None:
    chosen = BATCHES[0].chosen(np.array([mark == "1" for mark in which]))
    assert text_of(chosen) == text
    assert chosen.whose.tolist() == [index for index, mark in enumerate(which) if mark == "1"]
    assert chosen.lengths.sum() == len(chosen.text)


@pytest.mark.parametrize(("n_texts", "sizes"), [(1, [1]), (3, [3]), (4, [3, 0, 1]), (9, [3, 0, 1])], ids=str)
def test_first_texts_end_with_the_last_that_is_wanted(n_texts: int, sizes: list[int]) -> None:
    assert [len(batch.whose) for batch in first_texts(BATCHES, n_texts)] == sizes


def test_joined_texts_come_back_from_disk_as_often_as_they_are_read(tmp_path: Path) -> None:
    kept = JoinedTextsOnDisk(tmp_path)
    for batch in BATCHES:
        kept.append(batch)
    for _ in range(2):
        assert [[part.tolist() for part in batch] for batch in kept] == [
            [part.tolist() for part in batch] for batch in BATCHES
        ]
    assert list(tmp_path.iterdir()) == []


def test_joined_texts_on_disk_need_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"/none cannot be written: No such file or directory\."):
        JoinedTextsOnDisk(tmp_path / "none")
