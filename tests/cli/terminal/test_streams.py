"""Text on streams whose encoding has no place for it: written in plain signs, and never the end of a command."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer

from charflow.cli.app import app, run
from charflow.cli.terminal.streams import open_streams

COMMAND = typer.main.get_command(app)
ENCODINGS = ("ascii", "cp1252", "cp437")  # of LC_ALL=C, and of Windows


def commands(command: Any, *group: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, those of groups too."""
    yield group
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *group, name)


@contextmanager
def encoded(encoding: str) -> Iterator[Callable[[], str]]:
    """Gives standard output and error an encoding; what was written there is read in it."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        open_streams()
        yield lambda: "".join(stream.buffer.getvalue().decode(encoding) for stream in streams if not stream.flush())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_help_of_every_command_is_written_in_any_encoding(encoding: str) -> None:
    with encoded(encoding) as written:
        assert [words for words in commands(COMMAND) if run([*words, "--help"])] == []
        assert written().count("Usage: ") == len(list(commands(COMMAND)))


def printing_commands(chat: str, folder: Path, new: Path) -> dict[str, list[object]]:
    """Commands that print text of people and models, at work."""
    return {
        "explore": ["explore", chat, "--user", "olena", "--window-length", 5],
        "prepare": ["prepare", chat, "--to", new],
        "generate": ["generate", folder, "café 🌱", "--length", 30, "--count", 2],
        "generate --json": ["generate", folder, "café 🌱", "--length", 5, "--json"],
        "evaluate": ["evaluate", folder],
        "a mistake": ["explore", f"{chat} 🌱"],
    }


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("case", printing_commands("", Path(), Path()))
def test_text_is_written_in_any_encoding(
    encoding: str, case: str, sample_chat: str, trained_run: Path, tmp_path: Path
) -> None:
    words = printing_commands(sample_chat, trained_run, tmp_path / "new")[case]
    with encoded(encoding) as written:
        assert run([str(word) for word in words]) == (2 if case == "a mistake" else 0), written()
        assert "Traceback" not in written()
        assert ("\\u041f" in written()) == (case == "explore")
        assert ("\\U0001f331" in written()) == (case in ("generate", "a mistake"))


def test_a_character_without_a_place_is_written_by_its_number_or_as_a_plain_sign() -> None:
    with encoded("ascii") as written:
        print("“é” … 🌱 ×2")
        assert written() == '"\\xe9" ... \\U0001f331 x2\n'


def test_prompts_are_utf8_whatever_the_encoding_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from charflow.cli.lines import read_input_lines

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("café\n🌱\0".encode()), encoding="ascii"))
    assert read_input_lines() == ["café", "🌱\0"]
