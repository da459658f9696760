"""`charflow prepare` against `build_corpus`, interrupted, and what it says when something is wrong."""

import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from charflow.pipeline.corpus.corpus import build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.formats import csv_rows
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.sample_chat import write_sample_chat
from charflow.pipeline.text_settings import TextSettings

ENDS = TextSettings(ends=True)
DEFAULT = CorpusSettings(held_out_by="person", text=ENDS)  # as the preset of `train` has it


@pytest.mark.slow
def test_prepare_json_has_the_facts(call: Callable, sample_chat: str, tmp_path: Path) -> None:
    done = call("prepare", sample_chat, "--to", tmp_path / "to", "--shard-size", 20_000, "--json")
    assert (done.status, done.err) == (0, "")
    facts = build_corpus(sample_chat, DEFAULT).facts()
    assert done.json["seconds"] > 0
    assert {name: value for name, value in done.json.items() if name != "seconds"} == {
        **facts,
        "shards": -(-facts["characters"] // 20_000),
        "bytes": facts["characters"],
        "dtype": "uint8",
    }


@pytest.mark.slow
def test_prepare_shows_the_same_for_people(call: Callable, sample_chat: str, tmp_path: Path) -> None:
    done = call("prepare", sample_chat, "--to", tmp_path / "to", "--user", "mira")
    facts = build_corpus(sample_chat, replace(DEFAULT, users=("mira",))).facts()
    assert (done.status, done.err) == (0, "")
    assert f"messages    {facts['messages']:,} of 600 rows (" in done.out
    assert (
        f"characters  {facts['train_characters']:,} to learn, {facts['held_out_characters']:,} held out, " in done.out
    )
    assert "shards      1, " in done.out
    assert done.out.endswith(f"\nTrain on it: charflow train {tmp_path}/to --out RUN\n")


@pytest.mark.slow
def test_prepare_passes_every_setting_on(call: Callable, tmp_path: Path) -> None:
    write_sample_chat(tmp_path / "chat.csv", messages=200, broken_rows=3)
    done = call(
        "prepare", tmp_path / "chat.csv", "--to", tmp_path / "to", "--user", "mira", "--user", "ada",
        "--drop-user", "tomas", "--fraction", 0.9, "--min-length", 3, "--min-count", 2, "--held-out", 0.2,
        "--keep-case", "--unicode-form", "nfc", "--skip-bad-rows", "--text-column", "room", "--delimiter", ",",
        "--user-column", "fromUser.id",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert PreparedCorpus.open(tmp_path / "to").settings == CorpusSettings(
        users=("mira", "ada"),
        drop_users=("tomas",),
        fraction=0.9,
        min_length=3,
        min_count=2,
        held_out=0.2,
        held_out_by="person",
        text=TextSettings(lowercase=False, unicode_form="NFC", ends=True),
        csv=CsvFormat(text_column="room", delimiter=",", skip_bad_rows=True),
    )


@pytest.mark.slow
def test_prepare_interrupted_goes_on_by_the_same_command(
    call: Callable, sample_chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "_ROWS_PER_BATCH", 50)
    arguments = ["prepare", sample_chat, "--to", tmp_path / "to", "--shard-size", 5000]

    def press(self: object, doing: str, share: float) -> None:
        if doing == "encoding" and share > 0.5:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("charflow.cli.commands.prepare._PreparationScreen.show", press)
        stopped = call(*arguments)
    assert stopped.status == 130
    assert stopped.err == "charflow: interrupted: the same command goes on after the last whole shard.\n"
    assert (tmp_path / "to" / "progress.json").exists()
    assert call(*arguments).status == 0
    assert PreparedCorpus.open(tmp_path / "to").facts() == build_corpus(sample_chat, DEFAULT).facts()


@pytest.mark.slow
def test_prepare_without_ends_is_the_recipe_s_text(call: Callable, sample_chat: str, tmp_path: Path) -> None:
    assert call("prepare", sample_chat, "--to", tmp_path / "to", "--no-ends", "--held-out-by", "messages").status == 0
    assert PreparedCorpus.open(tmp_path / "to").facts() == build_corpus(sample_chat, CorpusSettings()).facts()


@pytest.mark.slow
def test_prepare_refuses_in_one_sentence(refused: Callable, call: Callable, sample_chat: str, tmp_path: Path) -> None:
    assert refused("prepare", "missing.csv", "--to", tmp_path / "to") == "missing.csv: no such file."
    assert refused("prepare", sample_chat, "--to", tmp_path / "to", "--user", "zoe").startswith(
        "No messages from user 'zoe': 0 of 600 rows."
    )
    assert not (tmp_path / "to").exists()
    call("prepare", sample_chat, "--to", tmp_path / "to")
    assert refused("prepare", sample_chat, "--to", tmp_path / "to", "--keep-case") == (
        f"{tmp_path}/to holds the corpus of other files or settings (text): name a new folder, or prepare it as before."
    )


@pytest.mark.slow
def test_prepare_says_when_the_disk_is_full(
    refused: Callable, full_disk: Callable, sample_chat: str, tmp_path: Path
) -> None:
    with full_disk(20_000):
        message = refused("prepare", sample_chat, "--to", tmp_path / "to", underway=True)
    assert message == f"{tmp_path}/to cannot be written: File too large."


def test_prepare_as_a_process_writes_nothing_but_its_figures(
    start: Callable[..., subprocess.Popen], sample_chat: str, tmp_path: Path
) -> None:
    process = start("prepare", sample_chat, "--to", tmp_path / "to")
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.startswith("messages ")
