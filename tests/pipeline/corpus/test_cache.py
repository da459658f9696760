"""The corpus cache: read once, never trusted when something changed or broke."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charflow.pipeline.corpus import corpus as corpus_module
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.inputs import find_inputs
from charflow.pipeline.text_settings import TextSettings

CHAT = 'fromUser.id,text\nada,One\nbo,"Two\n2"\nada,\nada,Three\n'


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    (tmp_path / "chat.csv").write_text(CHAT)
    return tmp_path / "chat.csv"


@pytest.fixture
def cache(tmp_path: Path) -> CorpusCache:
    return CorpusCache(tmp_path / "cache" / "corpora")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list:
    """What was read from CSV, and not from the cache."""
    calls: list = []
    read_messages = corpus_module.read_messages

    def counted(paths: object, csv_format: CsvFormat) -> object:
        calls.append(paths)
        return read_messages(paths, csv_format)

    monkeypatch.setattr(corpus_module, "read_messages", counted)
    return calls


def entry_of(cache: CorpusCache) -> Path:
    (entry,) = cache.folder.iterdir()
    return entry


def facts(corpus: Corpus) -> tuple:
    return (
        corpus.ids.tolist(),
        corpus.ids.dtype,
        corpus.split,
        corpus.vocabulary,
        corpus.rows,
        corpus.dropped,
        corpus.messages,
        corpus.held_out_messages,
        corpus.fingerprint,
    )


@pytest.mark.slow
def test_second_read_comes_from_the_cache(chat: Path, cache: CorpusCache, reads: list) -> None:
    first = Corpus.from_csv(str(chat), held_out=0.4, cache=cache)
    assert reads == [find_inputs(str(chat))]
    second = Corpus.from_csv(str(chat), held_out=0.4, cache=cache)
    assert reads == [find_inputs(str(chat))]
    assert facts(second) == facts(first)
    assert facts(second) == facts(Corpus.from_csv(str(chat), held_out=0.4))


def test_cached_ids_are_mapped_and_not_loaded(chat: Path, cache: CorpusCache) -> None:
    Corpus.from_csv(str(chat), cache=cache)
    again = Corpus.from_csv(str(chat), cache=cache)
    assert isinstance(again.ids, np.memmap)
    assert not again.ids.flags.writeable


def test_same_file_is_found_by_another_path(
    chat: Path, cache: CorpusCache, reads: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    Corpus.from_csv(str(chat), cache=cache)
    monkeypatch.chdir(chat.parent)
    Corpus.from_csv("chat.csv", cache=cache)
    Corpus.from_csv(["ch*.csv"], cache=cache)
    assert len(reads) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"user": "ada"},
        {"drop_users": ["bo"]},
        {"fraction": 0.9},
        {"min_length": 2},
        {"min_count": 2},
        {"held_out": 0.5},
        {"text": TextSettings(lowercase=False)},
        {"text": TextSettings(unicode_form="NFC")},
        {"csv": CsvFormat(skip_bad_rows=True)},
    ],
    ids=str,
)
def test_other_settings_are_read_afresh(options: dict, chat: Path, cache: CorpusCache, reads: list) -> None:
    Corpus.from_csv(str(chat), cache=cache)
    other = Corpus.from_csv(str(chat), cache=cache, **options)
    assert len(reads) == 2
    assert facts(other) == facts(Corpus.from_csv(str(chat), **options))


def test_changed_file_is_read_afresh(chat: Path, cache: CorpusCache, reads: list) -> None:
    Corpus.from_csv(str(chat), cache=cache)
    chat.write_text(CHAT + "ada,Four\n")
    changed = Corpus.from_csv(str(chat), cache=cache)
    assert len(reads) == 2
    assert changed.vocabulary.decode(changed.ids) == "one two\n2 three four"


def test_file_of_another_time_is_read_afresh(chat: Path, cache: CorpusCache, reads: list) -> None:
    Corpus.from_csv(str(chat), cache=cache)
    stat = chat.stat()
    chat.write_text(CHAT.replace("One", "Eno"))
    os.utime(chat, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    changed = Corpus.from_csv(str(chat), cache=cache)
    assert len(reads) == 2
    assert changed.vocabulary.decode(changed.ids) == "eno two\n2 three"


@pytest.mark.slow
def test_more_files_in_the_glob_are_read_afresh(chat: Path, cache: CorpusCache, reads: list) -> None:
    Corpus.from_csv(f"{chat.parent}/*.csv", cache=cache)
    (chat.parent / "more.csv").write_text("fromUser.id,text\nada,Four\n")
    more = Corpus.from_csv(f"{chat.parent}/*.csv", cache=cache)
    assert len(reads) == 2
    assert more.messages == 4


@pytest.mark.slow
def test_order_of_files_matters(chat: Path, cache: CorpusCache, reads: list) -> None:
    other = chat.parent / "other.csv"
    other.write_text("fromUser.id,text\nada,Four\n")
    forth = Corpus.from_csv([str(chat), str(other)], cache=cache)
    back = Corpus.from_csv([str(other), str(chat)], cache=cache)
    assert len(reads) == 2
    assert forth.fingerprint != back.fingerprint


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def facts_without(name: str) -> Callable[[Path], None]:
    def damage(entry: Path) -> None:
        facts = json.loads((entry / "facts.json").read_text())
        del facts[name]
        (entry / "facts.json").write_text(json.dumps(facts))

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "ids gone": lambda entry: (entry / "ids.npy").unlink(),
    "ids empty": lambda entry: (entry / "ids.npy").write_bytes(b""),
    "ids truncated": lambda entry: truncated(entry / "ids.npy"),
    "ids something else": lambda entry: (entry / "ids.npy").write_bytes(b"something else"),
    "vocabulary gone": lambda entry: (entry / "vocabulary.txt").unlink(),
    "vocabulary truncated": lambda entry: truncated(entry / "vocabulary.txt"),
    "facts gone": lambda entry: (entry / "facts.json").unlink(),
    "facts truncated": lambda entry: truncated(entry / "facts.json"),
    "facts not UTF-8": lambda entry: (entry / "facts.json").write_bytes(b"\xff"),
    "facts empty": lambda entry: (entry / "facts.json").write_text("{}"),
    "facts a list": lambda entry: (entry / "facts.json").write_text("[]"),
    "facts null": lambda entry: (entry / "facts.json").write_text("null"),
    "facts without split": facts_without("split"),
    "facts without rows": facts_without("rows"),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_entry_is_read_afresh_and_mended(
    damage: Callable[[Path], object], chat: Path, cache: CorpusCache, reads: list
) -> None:
    first = Corpus.from_csv(str(chat), cache=cache)
    damage(entry_of(cache))
    assert facts(Corpus.from_csv(str(chat), cache=cache)) == facts(first)
    assert len(reads) == 2
    assert facts(Corpus.from_csv(str(chat), cache=cache)) == facts(first)
    assert len(reads) == 2


def test_store_leaves_nothing_but_the_entry(chat: Path, cache: CorpusCache) -> None:
    Corpus.from_csv(str(chat), cache=cache)
    assert sorted(file.name for file in entry_of(cache).iterdir()) == ["facts.json", "ids.npy", "vocabulary.txt"]


def test_load_of_an_unknown_key_is_none(cache: CorpusCache) -> None:
    assert cache.load("0" * 32) is None
    assert not cache.folder.exists()


@pytest.mark.parametrize(
    ("inside", "reason"), [("", "File exists"), ("corpora", "Not a directory")], ids=["a file", "below a file"]
)
def test_unwritable_folder_is_named(inside: str, reason: str, chat: Path) -> None:
    blocker = chat.parent / "blocker"
    blocker.write_text("in the way")
    folder = blocker / inside
    with pytest.raises(UserError) as error:
        Corpus.from_csv(str(chat), cache=CorpusCache(folder))
    assert str(error.value) == (
        f"The corpus cache {folder} cannot be written ({reason}): free some room."
        " Or name another folder with cache, or pass cache=None."
    )


def test_full_disk_leaves_no_half_entry(chat: Path, cache: CorpusCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", no_room)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\): free some room\."):
        Corpus.from_csv(str(chat), cache=cache)
    assert list(cache.folder.iterdir()) == []


def test_entry_stored_by_another_run_meanwhile_is_kept(
    chat: Path, cache: CorpusCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    Corpus.from_csv(str(chat), cache=cache)
    entry = entry_of(cache)
    stored = cache.load(entry.name)
    monkeypatch.setattr("charflow.pipeline.corpus.cache.shutil.rmtree", lambda *_, **__: None)
    cache.store(entry.name, *stored)
    assert cache.load(entry.name)[2] == stored[2]


def test_missing_file_is_named_before_the_cache_is_asked(cache: CorpusCache) -> None:
    with pytest.raises(UserError, match=r"^missing\.csv: no such file\.$"):
        Corpus.from_csv("missing.csv", cache=cache)


def test_cache_is_in_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert CorpusCache().folder == tmp_path / "charflow"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert CorpusCache().folder == tmp_path / ".cache" / "charflow"
