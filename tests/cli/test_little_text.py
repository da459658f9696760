"""Too little text, at every boundary: a sentence with advice from every command that reads a chat, or it works."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from charflow.cli.app import run
from tests.cli.test_reading import reading_commands

SHORT = "too short for one window"
FEW = {
    "one character": (["a,x"], SHORT),
    "two short messages": (["a,hi", "a,ho"], SHORT),
    "one window less a character": (["a," + "ab" * 20], SHORT),
    "blanks": (["a,   "] * 9, SHORT),
    "empty messages": (["a,", "a,"], "No message is left of 2 rows (2 empty)"),
    "marks that show nothing": (["a,\ufeff"] * 3, "No message is left of 3 rows (3 empty)"),
}
ANY_LENGTH = ("prepare", "evaluate")  # cut no windows
MORE = {
    "explore": ["--user", "a"],
    "train": ["--no-cache"],
    "train --preset tutorial": ["--preset", "tutorial", "--fraction", 1],
    "train --held-out 0": ["--held-out", 0],
    "train --end": ["--units", 4],
    "sweep": ["--trials", 1, "--time-limit", 1],
    "bench train": ["--seconds", 0.1],
}
CASES = [(command, more) for command in reading_commands(Path(), Path()) for more in MORE if more.startswith(command)]
CASES += [(command, command) for command in ANY_LENGTH]
SLOW = ("sweep", "bench train")  # to start: one of the texts is enough, for what reads them is the same


@pytest.mark.parametrize(
    ("command", "more", "few"),
    [(*case, few) for case in CASES for few in FEW if case[0] not in SLOW or few == next(iter(FEW))],
)
def test_too_little_text_is_refused_with_advice(
    call: Callable, write_chat: Callable, trained_run: Path, tmp_path: Path, command: str, more: str, few: str
) -> None:
    rows, said = FEW[few]
    words = reading_commands(trained_run, tmp_path / "out")[command]
    words = [write_chat(*rows) if word == "CHAT" else word for word in words]
    users = ["--user", "a"] if command == "evaluate" else []
    done = call(*words, *MORE.get(more, []), *users)
    if command in ANY_LENGTH and said == SHORT:
        assert done.status == 0, done.err
        return
    message = done.err.splitlines()[-1]
    assert (done.status, done.out, "Traceback" in done.err) == (2, "", False), done
    # The tutorial's text keeps marks that show nothing; a sweep asks for held-out text first.
    assert any(each in message for each in (said, SHORT, "A sweep compares trials on held-out text"))
    assert "Take more messages" in message or "give more messages" in message or "Most active: " in message
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_every_command_that_reads_a_chat_is_tried() -> None:
    assert {command for command, _ in CASES} == set(reading_commands(Path(), Path()))


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (["a,hello"] * 9, ["--fraction", 0.1], "A fraction of 0.1 leaves none of the 9 messages. Take more messages, "),
        (["a,hello there"] * 9, ["--min-length", 20], "No message is left of 9 rows (9 too short)"),
        (["a,hello there"] * 9, ["--held-out", 0.99, "--window-length", 20], SHORT),
    ],
    ids=["fraction", "length of a message", "held-out"],
)
def test_settings_that_leave_too_little_are_named(
    refused: Callable, write_chat: Callable, tmp_path: Path, rows: list[str], options: list[object], said: str
) -> None:
    assert said in refused("train", write_chat(*rows), "--out", tmp_path / "run", *options, "--no-cache")


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows",
    [["a,あいうえおかき\0くけこ👩‍👧"] * 30, ["a," + "x" * 300]],
    ids=["no blanks, NUL and joined signs", "one letter"],
)
def test_text_of_any_kind_is_learned_and_continued(
    write_chat: Callable, tmp_path: Path, capsys: pytest.CaptureFixture, rows: list[str]
) -> None:
    learn = ["--units", 4, "--layers", 1, "--window-length", 9, "--batch-size", 4, "--steps", 1, "--sample-every", 0]
    words = ["train", write_chat(*rows), "--out", tmp_path / "run", *learn, "--no-cache"]
    assert run([str(word) for word in words]) == 0
    capsys.readouterr()
    prompts = ["", "zz é 🌱", "long " * 200]
    assert run(["generate", str(tmp_path / "run"), *prompts, "--length", "5", "--temperature", "0", "--json"]) == 0
    texts = json.loads(capsys.readouterr().out)["completions"]
    assert [text["prompt"] for text in texts] == prompts
