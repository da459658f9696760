"""Preparing on disk against `build_corpus` in memory, killed and continued, and what it refuses."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from charflow.pipeline.corpus.corpus import Corpus, build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats import csv_rows
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.prepared import writing as prepare_module
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.sample_chat import SAMPLE_BOT, write_sample_chat
from charflow.pipeline.text_settings import TextSettings
from tests import forked

CHAT = [("ada", "One"), ("bo", "Two"), ("ada", ""), ("ada", "Three"), ("cy", "x"), ("bot", "BEEP"), ("ada", "Four")]


class Stop(Exception):  # noqa: N818
    """Raised by a test in the middle of the work."""


def write_chat(path: Path, rows: list[tuple[str, str]]) -> str:
    pd.DataFrame(rows, columns=["fromUser.id", "text"]).to_csv(path, index=False, quoting=csv.QUOTE_ALL)
    return str(path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_equal(prepared: PreparedCorpus, corpus: Corpus) -> None:
    loaded = prepared.load()
    assert loaded.ids.tolist() == corpus.ids.tolist()
    assert loaded.ids.dtype == corpus.ids.dtype
    assert prepared.split == corpus.split
    assert prepared.vocabulary == corpus.vocabulary
    assert prepared.facts() == loaded.facts() == corpus.facts()


@pytest.fixture
def chat(tmp_path: Path) -> str:
    return write_chat(tmp_path / "chat.csv", CHAT)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 50 rows, so that the sample chat has many."""
    monkeypatch.setattr(csv_rows, "_ROWS_PER_BATCH", 50)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        CorpusSettings(),
        CorpusSettings(fraction=0.2),
        CorpusSettings(users=("mira",), fraction=0.999, held_out=0.5),
        CorpusSettings(drop_users=(SAMPLE_BOT, "mira"), fraction=0.5, held_out=0),
        CorpusSettings(users=("ada", "noor"), min_length=30),
        CorpusSettings(min_count=20),
        CorpusSettings(held_out=0.99, text=TextSettings(lowercase=False)),
        CorpusSettings(text=TextSettings(case_fold=True)),
        CorpusSettings(text=TextSettings(ends=True), min_count=5000),
        CorpusSettings(text=TextSettings(ends=True), fraction=0.2),
        CorpusSettings(held_out_by="person"),
        CorpusSettings(held_out_by="person", held_out=0.5, fraction=0.6, text=TextSettings(ends=True)),
        CorpusSettings(held_out_by="person", held_out=0, drop_users=("mira",)),
        CorpusSettings(text=TextSettings(reply=True), users=("mira",)),
        CorpusSettings(
            text=TextSettings(reply=True),
            users=("olena", "noor"),
            drop_users=("bram",),
            fraction=0.7,
            held_out_by="person",
        ),
    ],
    ids=[
        "defaults",
        "fraction",
        "a user",
        "dropped users, none held out",
        "long messages",
        "rare characters",
        "as it is",
        "case folding",
        "ends",
        "ends of a fraction",
        "by person",
        "by person, of a fraction",
        "by person, none held out",
        "replies",
        "replies of a fraction, in ids of two bytes",
    ],
)
@pytest.mark.usefixtures("small_batches")
def test_prepare_equals_build_corpus(settings: CorpusSettings, sample_chat: str, tmp_path: Path) -> None:
    prepared = prepare_corpus(sample_chat, settings, tmp_path / "to", shard_size=1000)
    assert_equal(prepared, build_corpus(sample_chat, settings))
    assert prepared.settings == settings


@pytest.mark.slow
@pytest.mark.parametrize("shard_size", [1, 7, 1000], ids=lambda size: f"shards of {size}")
@pytest.mark.parametrize("rows_per_batch", [1, 2, 5])
@pytest.mark.parametrize("fraction", [1.0, 0.6])
def test_prepare_does_not_depend_on_batches_and_shards(
    rows_per_batch: int, fraction: float, shard_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["", "One", "", "Two", "three", "", "", "4", "five", "", ""]
    chat = write_chat(tmp_path / "chat.csv", [("ada", text) for text in texts])
    settings = CorpusSettings(fraction=fraction, held_out=0.5)
    monkeypatch.setattr(csv_rows, "_ROWS_PER_BATCH", rows_per_batch)
    prepared = prepare_corpus(chat, settings, tmp_path / "to", shard_size=shard_size)
    assert_equal(prepared, build_corpus(chat, settings))
    assert len(prepared.shards) == -(-prepared.characters // shard_size)


@pytest.mark.slow
@pytest.mark.parametrize("shard_size", [97, 500, 10_000])
@pytest.mark.parametrize(
    "texts",
    [["a long tale " * 50], ["a long tale " * 90, "no", "yes"], ["no", *["a long tale " * 90] * 9, *["ok"] * 5]],
    ids=["one message", "three", "a few short ones at the end"],
)
def test_prepare_holds_out_as_much_as_a_corpus_in_memory_does(
    texts: list[str], shard_size: int, tmp_path: Path
) -> None:
    chat = write_chat(tmp_path / "chat.csv", [("ada", text) for text in texts])
    prepared = prepare_corpus(chat, CorpusSettings(), tmp_path / "to", shard_size=shard_size)
    assert_equal(prepared, build_corpus(chat, CorpusSettings()))
    assert prepared.held_out_characters == prepared.characters // 10


@pytest.mark.slow
def test_prepare_keeps_awkward_characters(tmp_path: Path) -> None:
    texts = [
        "\n",
        "a\r\nb",
        "\r",
        "\t",
        '"',
        "\\",
        "[LF]",
        "[UNK]",
        "\u2028\x85",
        "\ufffd",
        "\ufeffa",
        "😀e\u0301",
        "a\0b",
    ]
    chat = write_chat(tmp_path / "chat.csv", [("a", text) for text in texts])
    assert_equal(prepare_corpus(chat, CorpusSettings(), tmp_path / "to"), Corpus.from_csv(chat))


def test_prepare_of_many_characters_takes_two_bytes_each(tmp_path: Path) -> None:
    chat = write_chat(tmp_path / "chat.csv", [("a", "".join(chr(0x4E00 + i) for i in range(300)))])
    prepared = prepare_corpus(chat, CorpusSettings(), tmp_path / "to", shard_size=200)
    assert_equal(prepared, Corpus.from_csv(chat))
    assert (tmp_path / "to" / "shard-00001.ids").read_bytes()[-2:] == bytes([300 % 256, 300 // 256])


@pytest.mark.slow
def test_prepare_of_a_message_that_normalises_to_nothing_at_the_end(tmp_path: Path) -> None:
    chat = write_chat(tmp_path / "chat.csv", [("a", "one"), ("a", "\u00ad")])  # case folding drops a soft hyphen
    settings = CorpusSettings(held_out=0.5, text=TextSettings(case_fold=True))
    for size in (2, 4, 9):
        prepared = prepare_corpus(chat, settings, tmp_path / str(size), shard_size=size)
        assert_equal(prepared, build_corpus(chat, settings))


@pytest.mark.slow
def test_prepare_reads_several_files_and_skips_bad_rows(tmp_path: Path) -> None:
    write_sample_chat(tmp_path / "1.csv", messages=100, broken_rows=6)
    write_sample_chat(tmp_path / "2.csv", messages=50, seed=1)
    settings = CorpusSettings(csv=CsvFormat(skip_bad_rows=True))
    write_sample_chat(tmp_path / "last.csv", messages=100, broken_rows=6)
    paths = [f"{tmp_path}/[0-9].csv", f"{tmp_path}/last.csv"]
    prepared = prepare_corpus(paths, settings, tmp_path / "to")
    assert prepared.facts()["dropped"]["bad row"] == 12
    assert_equal(prepared, build_corpus(paths, settings))


def test_prepare_tells_what_it_does(chat: str, tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    prepare_corpus(chat, CorpusSettings(), tmp_path / "to", progress=lambda *report: told.append(report))
    assert told[0] == ("checking", 0.0)
    assert [doing for doing, share in told if share == 1.0] == ["counting", "encoding"]


@pytest.mark.slow
@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(
    "settings",
    [
        CorpusSettings(held_out=0.3),
        CorpusSettings(fraction=0.5, held_out=0.3, held_out_by="person"),
        CorpusSettings(users=("noor", "mira"), held_out_by="person", text=TextSettings(reply=True)),
    ],
    ids=["all messages", "half of them", "replies"],
)
def test_prepare_stopped_anywhere_goes_on_to_the_same_bytes(
    settings: CorpusSettings, sample_chat: str, tmp_path: Path
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    prepare_corpus(sample_chat, settings, whole, shard_size=5000)
    stops = 0
    for calls in [1, 5, 14, 3, 16, 20, 37, 39, 45, 42, 1000]:
        left = iter(range(calls))

        def stop(doing: str, share: float, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Stop

        try:
            prepare_corpus(sample_chat, settings, stopped, shard_size=5000, progress=stop)
        except Stop:
            stops += 1
            assert not (stopped / "manifest.json").exists()
            assert not list(stopped.glob(".*"))
    assert stops >= 5
    assert contents(stopped) == contents(whole)


@pytest.mark.slow
def test_prepare_goes_on_and_does_not_begin_anew(sample_chat: str, tmp_path: Path) -> None:
    def stop(doing: str, share: float) -> None:
        if share > 0.7 and doing == "encoding":
            raise Stop

    with pytest.raises(Stop):
        prepare_corpus(sample_chat, CorpusSettings(), tmp_path / "to", shard_size=5000, progress=stop)
    before = {path: path.stat().st_ino for path in (tmp_path / "to").glob("shard-*")}
    prepare_corpus(sample_chat, CorpusSettings(), tmp_path / "to", shard_size=5000)
    assert len(before) > 2
    assert {path: path.stat().st_ino for path in before} == before


KILLED = """
import sys, time
from charflow.pipeline.formats import csv_rows
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.prepared.writing import prepare_corpus

def tell(doing, share):
    print(doing, share, flush=True)
    time.sleep(0.01)

csv_rows._ROWS_PER_BATCH = 50
prepare_corpus(sys.argv[1], CorpusSettings(), sys.argv[2], shard_size=2000, progress=tell)
"""


@pytest.mark.usefixtures("small_batches")
def test_prepare_killed_at_random_moments_goes_on_to_the_same_bytes(sample_chat: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    prepare_corpus(sample_chat, CorpusSettings(), whole, shard_size=2000)
    moments = random.Random(7)
    for doing, share in (("counting", 0.5), ("encoding", 0.3), ("encoding", 0.7)):
        process = forked.Popen(
            [sys.executable, "-c", KILLED, sample_chat, str(killed)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        told = (line.split() for line in process.stdout)
        assert any(name == doing and float(done) >= share for name, done in told)
        time.sleep(moments.random() * 0.05)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
    left = {path.name for path in killed.iterdir()}
    assert "shard-00009.ids" in left
    assert "manifest.json" not in left
    prepare_corpus(sample_chat, CorpusSettings(), killed, shard_size=2000)
    assert contents(killed) == contents(whole)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "a flipped byte": lambda folder: flipped(folder / "shard-00001.ids"),
    "a cut shard": lambda folder: os.truncate(folder / "shard-00000.ids", 3),
    "a missing shard": lambda folder: (folder / "shard-00002.ids").unlink(),
    "another vocabulary": lambda folder: (folder / "vocabulary.txt").write_text("a\nb\n"),
    "no vocabulary": lambda folder: (folder / "vocabulary.txt").unlink(),
    "half a file": lambda folder: (folder / ".shard-00001.ids.99").write_text("half"),
    "progress not deleted": lambda folder: (folder / "progress.json").write_text("{}"),
    "no manifest but progress": lambda folder: (folder / "manifest.json").rename(folder / "progress.json"),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_prepare_again_mends(damage: Callable[[Path], object], chat: str, tmp_path: Path) -> None:
    folder = tmp_path / "to"
    prepare_corpus(chat, CorpusSettings(), folder, shard_size=7)
    before = contents(folder)
    assert sorted(before) == ["manifest.json", *(f"shard-0000{i}.ids" for i in range(4)), "vocabulary.txt"]
    damage(folder)
    prepare_corpus(chat, CorpusSettings(), folder, shard_size=7)
    assert contents(folder) == before


def test_prepare_of_a_finished_folder_does_not_read_the_files(
    chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_corpus(chat, CorpusSettings(), tmp_path / "to")
    monkeypatch.setattr(prepare_module, "read_messages", None)
    assert prepare_corpus(chat, CorpusSettings(), tmp_path / "to").messages == 6


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"settings": CorpusSettings(users=("ada",), held_out=0.2)}, "users, held_out"),
        ({"settings": CorpusSettings(text=TextSettings(lowercase=False))}, "text"),
        ({"shard_size": 8}, "shard size"),
    ],
    ids=["settings", "text settings", "shard size"],
)
def test_prepare_refuses_to_go_on_with_other_settings(change: dict, named: str, chat: str, tmp_path: Path) -> None:
    options = {"settings": CorpusSettings(), "shard_size": 7}
    prepare_corpus(chat, folder=tmp_path / "to", **options)
    with pytest.raises(UserError) as error:
        prepare_corpus(chat, folder=tmp_path / "to", **{**options, **change})
    assert str(error.value) == (
        f"{tmp_path}/to holds the corpus of other files or settings ({named}): name a new folder, "
        "or prepare it as before."
    )


def test_prepare_refuses_to_go_on_with_other_files(chat: str, tmp_path: Path) -> None:
    other = write_chat(tmp_path / "other.csv", [("ada", "Five")])
    prepare_corpus([chat, other], CorpusSettings(), tmp_path / "to")
    refused = r"to holds the corpus of other files or settings \({}\): name a new folder"
    with pytest.raises(UserError, match=refused.format("order of the files")):
        prepare_corpus([other, chat], CorpusSettings(), tmp_path / "to")
    with pytest.raises(UserError, match=refused.format(".*/other.csv")):
        prepare_corpus(chat, CorpusSettings(), tmp_path / "to")
    Path(chat).write_text("fromUser.id,text\nada,One\n")
    with pytest.raises(UserError, match=refused.format(".*/chat.csv")):
        prepare_corpus([chat, other], CorpusSettings(), tmp_path / "to")


def test_prepare_notices_a_file_that_changes_while_it_is_read(chat: str, tmp_path: Path) -> None:
    def touch(*_: object) -> None:
        os.utime(chat, ns=(0, 0))

    with pytest.raises(UserError, match=r"chat\.csv changed while it was read: prepare a new folder\.$"):
        prepare_corpus(chat, CorpusSettings(), tmp_path / "to", progress=touch)
    assert not (tmp_path / "to" / "manifest.json").exists()


def test_prepare_refuses_a_folder_of_something_else(chat: str, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match=r"to is no prepared corpus but holds letters\.txt: name a new folder\.$"):
        prepare_corpus(chat, CorpusSettings(), tmp_path / "to")
    with pytest.raises(UserError, match=r"letters\.txt is a file: name a folder for the corpus\.$"):
        prepare_corpus(chat, CorpusSettings(), tmp_path / "to" / "letters.txt")


def test_prepare_refuses_a_folder_that_another_process_writes(chat: str, tmp_path: Path) -> None:
    def again(*_: object) -> None:
        prepare_corpus(chat, CorpusSettings(), tmp_path / "to")

    with pytest.raises(UserError, match=r"to is being prepared by another process: wait, or name another folder\.$"):
        prepare_corpus(chat, CorpusSettings(), tmp_path / "to", progress=again)


@pytest.mark.parametrize(
    "options",
    [{"users": ("zoe",)}, {"min_length": 9}, {"users": ("ada",), "fraction": 0.2}, {"min_count": 1000}],
    ids=["no such user", "all too short", "fraction leaves none", "every character rare"],
)
def test_prepare_refuses_what_build_corpus_refuses(options: dict, chat: str, tmp_path: Path) -> None:
    settings = CorpusSettings(**options)
    with pytest.raises(UserError) as expected:
        build_corpus(chat, settings)
    with pytest.raises(UserError) as error:
        prepare_corpus(chat, settings, tmp_path / "to")
    assert str(error.value) == str(expected.value)
    assert not (tmp_path / "to").exists()


def test_prepare_refuses_empty_shards(chat: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^shard_size must be at least 1, not 0\.$"):
        prepare_corpus(chat, CorpusSettings(), tmp_path / "to", shard_size=0)


@pytest.mark.slow
def test_prepare_refuses_more_shards_than_a_folder_should_hold(sample_chat: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^shard_size is 1, which makes [\d,]+ shards: set it to at least \d\.$"):
        prepare_corpus(sample_chat, CorpusSettings(), tmp_path / "p", shard_size=1)
    prepared = prepare_corpus(sample_chat, CorpusSettings(), tmp_path / "p", shard_size=40_000)
    assert prepared.characters > 10_000
