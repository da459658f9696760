"""Reading a prepared folder: any stretch of it, a worker's part, and the one sentence for what is wrong with it."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.files import is_prepared
from charflow.pipeline.prepared import shards as shards_module
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.windows import count_windows, make_windows

TEXT = "abcdefghijklmnopqrstuvwxyz"  # so ids count up from 1
MEND = "run the same charflow prepare again, it writes anew what is missing or changed."


@pytest.fixture(scope="module")
def alphabet(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    """The letters, the last seven held out, in shards of 7: one message of 19, a separator, one of 7."""
    folder = tmp_path_factory.mktemp("alphabet")
    (folder / "chat.csv").write_text(f"fromUser.id,text\na,{TEXT[:19]}\na,{TEXT[19:]}\n")
    return prepare_corpus(str(folder / "chat.csv"), CorpusSettings(held_out=0.5), folder / "to", shard_size=7)


@pytest.fixture
def folder(alphabet: PreparedCorpus, tmp_path: Path) -> Path:
    """A copy of that folder, to be damaged."""
    to = tmp_path / "to"
    to.mkdir()
    for path in alphabet.folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def text_of(prepared: PreparedCorpus, ids: np.ndarray) -> str:
    return prepared.vocabulary.decode(ids)


@given(start=st.integers(0, 27), stop=st.integers(0, 27))
def test_read_gives_any_stretch(alphabet: PreparedCorpus, start: int, stop: int) -> None:
    start, stop = min(start, stop), max(start, stop)
    assert text_of(alphabet, alphabet.read(start, stop)) == f"{TEXT[:19]} {TEXT[19:]}"[start:stop]


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (4, 3), (0, 28)])
def test_read_refuses_what_is_not_in_the_text(alphabet: PreparedCorpus, start: int, stop: int) -> None:
    with pytest.raises(ValueError, match=r"^(The text has 27 characters: no range from|start must be at least 0)"):
        alphabet.read(start, stop)


def test_among_finds_the_folder_by_its_name_and_in_a_list(alphabet: PreparedCorpus) -> None:
    folder = str(alphabet.folder)
    for data in (folder, alphabet.folder, [folder], (alphabet.folder,)):
        found = PreparedCorpus.among(data)
        assert found is not None, data
        assert found.folder == alphabet.folder
    for data in ([], [folder, folder], f"{folder}/chat.csv"):
        assert PreparedCorpus.among(data) is None


def test_prepared_knows_its_parts(alphabet: PreparedCorpus) -> None:
    again = PreparedCorpus.open(str(alphabet.folder))
    assert (again.characters, again.split, again.messages, again.dtype) == (27, 20, 2, np.uint8)
    assert text_of(again, again.held_out_ids) == "tuvwxyz"
    assert text_of(again, again.held_out_start(4)) == "tuvw"
    assert text_of(again, again.held_out_start(400)) == "tuvwxyz"
    assert text_of(again, again.train_end(3)) == "rs "
    assert text_of(again, again.train_end(300)) == TEXT[:19] + " "
    assert again.settings == CorpusSettings(held_out=0.5)


def test_load_is_the_whole_corpus(alphabet: PreparedCorpus) -> None:
    corpus = alphabet.load()
    assert text_of(alphabet, corpus.train_ids) == TEXT[:19] + " "
    assert text_of(alphabet, corpus.held_out_ids) == "tuvwxyz"
    assert corpus.facts() == alphabet.facts()


@given(count=st.integers(1, 6), length=st.integers(1, 10), shift=st.integers(1, 5))
def test_load_part_deals_the_windows_out(alphabet: PreparedCorpus, count: int, length: int, shift: int) -> None:
    windows = range(0, alphabet.split - length, shift)
    each = len(windows) // count
    if not each:
        with pytest.raises(UserError, match=rf"too few windows for {count} workers: let fewer train, or more text\.$"):
            alphabet.load_part(0, count, length=length, shift=shift)
        return
    text = TEXT[:19] + " "
    for index in range(count):
        part = alphabet.load_part(index, count, length=length, shift=shift)
        own = text_of(alphabet, part.train_ids)
        assert count_windows(part.split, length=length, shift=shift) == each
        assert [own[i : i + length + 1] for i in range(0, len(own) - length, shift)] == [
            text[i : i + length + 1] for i in windows[index * each : (index + 1) * each]
        ]
        assert text_of(alphabet, part.held_out_ids) == "tuvwxyz"
        assert (part.fingerprint, part.facts()) == (alphabet.fingerprint, alphabet.facts())


def test_load_part_trains_like_any_corpus(alphabet: PreparedCorpus) -> None:
    part = alphabet.load_part(1, 2, length=4, shift=4)
    ((inputs, targets),) = make_windows(part.train_ids, length=4, shift=4, batch_size=9).as_numpy_iterator()
    assert [text_of(alphabet, window) for window in inputs] == ["ijkl", "mnop"]
    assert text_of(alphabet, targets) == "mq"


@pytest.mark.parametrize(
    ("index", "count", "message"),
    [
        (2, 2, "There is no part 2 of 2: parts are counted from 0."),
        (-1, 2, "index must be at least 0, not -1."),
        (0, 0, "count must be at least 1, not 0."),
    ],
)
def test_load_part_refuses_a_part_that_is_none(alphabet: PreparedCorpus, index: int, count: int, message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        alphabet.load_part(index, count, length=4, shift=1)


def test_load_part_reads_its_own_shards_alone(folder: Path) -> None:
    prepared = PreparedCorpus.open(folder)
    flip(folder / "shard-00000.ids")
    prepared.load_part(2, 3, length=2, shift=1)  # characters 12 to 20, and the tail
    with pytest.raises(UserError, match=r"shard-00000\.ids has changed"):
        prepared.load_part(0, 3, length=2, shift=1)


def test_hash_is_checked_once_a_shard_when_it_is_read(
    alphabet: PreparedCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    sha256_of = shards_module.sha256_of

    def noted(path: Path) -> str:
        hashed.append(path.name)
        return sha256_of(path)

    prepared = PreparedCorpus.open(alphabet.folder)
    monkeypatch.setattr(shards_module, "sha256_of", noted)
    prepared.read(8, 9)
    prepared.read(7, 15)
    assert hashed == ["shard-00001.ids", "shard-00002.ids"]
    prepared.check()
    assert hashed == [f"shard-0000{index}.ids" for index in (1, 2, 0, 3)]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 4
    path.write_bytes(bytes(data))


def write_format_99(path: Path) -> None:
    table = json.loads(path.read_text())
    path.write_text(json.dumps({**table, "format": 99}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "shard-00002.ids").unlink(), "{}/shard-00002.ids is missing: " + MEND),
        (
            lambda folder: os.truncate(folder / "shard-00001.ids", 5),
            "{}/shard-00001.ids has 5 bytes and not the 7 of its manifest: " + MEND,
        ),
        (lambda folder: (folder / "vocabulary.txt").unlink(), "{}/vocabulary.txt is missing: " + MEND),
        (
            lambda folder: (folder / "vocabulary.txt").write_text("a\n"),
            "{}/vocabulary.txt has changed since it was prepared: " + MEND,
        ),
        (
            lambda folder: (folder / "manifest.json").unlink(),
            "{0} is no prepared corpus: make one with charflow prepare DATA --to {0}.",
        ),
        (
            lambda folder: (folder / "manifest.json").rename(folder / "progress.json"),
            "{} is not prepared to its end: run the same charflow prepare again to go on.",
        ),
        (
            lambda folder: (folder / "manifest.json").write_text("[]"),
            "{}/manifest.json cannot be read as a table of shards: prepare a new folder.",
        ),
        (
            lambda folder: (folder / "manifest.json").write_text("{}"),
            "{}/manifest.json cannot be read as a table of shards: prepare a new folder.",
        ),
        (
            lambda folder: write_format_99(folder / "manifest.json"),
            "{}/manifest.json was written by another version of charflow: prepare a new folder.",
        ),
    ],
    ids=[
        "missing",
        "cut",
        "no vocabulary",
        "other vocabulary",
        "no manifest",
        "unfinished",
        "manifest a list",
        "manifest empty",
        "other format",
    ],
)
def test_open_refuses(damage: Callable[[Path], object], message: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(UserError) as error:
        PreparedCorpus.open(folder)
    assert str(error.value) == message.format(folder)


def test_flipped_byte_is_named_when_it_is_read(folder: Path) -> None:
    flip(folder / "shard-00001.ids")
    prepared = PreparedCorpus.open(folder)
    assert text_of(prepared, prepared.read(0, 7)) == TEXT[:7]
    said = f"{folder}/shard-00001.ids has changed since it was prepared (its SHA-256 is another): {MEND}"
    for read in (lambda: prepared.read(6, 8), prepared.load, prepared.check):
        with pytest.raises(UserError) as error:
            read()
        assert str(error.value) == said


def test_shard_that_went_after_opening_is_named(folder: Path) -> None:
    prepared = PreparedCorpus.open(folder)
    (folder / "shard-00003.ids").unlink()
    with pytest.raises(UserError, match=r"/shard-00003\.ids is missing: "):
        _ = prepared.held_out_ids


def test_is_prepared_tells_a_prepared_folder(folder: Path, tmp_path: Path) -> None:
    assert is_prepared(folder)
    (folder / "manifest.json").rename(folder / "progress.json")
    assert is_prepared(str(folder))
    assert not is_prepared(tmp_path)
    assert not is_prepared("chat-*.csv")
