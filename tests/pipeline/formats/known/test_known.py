"""The list of formats: each by its name, one that is asked for, and a file that is in none."""

import subprocess
import sys
from pathlib import Path

import pytest

from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.chat_format import KINDS
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.known import NAMES, format_called, formats, titles
from charflow.pipeline.formats.messages import read_messages
from tests.pipeline.formats.chats import pairs

WHATSAPP = "24/12/19, 11:23 - Mira: hi\n24/12/19, 11:24 - Bo: you\n"


def read(path: Path, content: str, **asked: str) -> list[tuple[str, str]]:
    path.write_text(content)
    return pairs(read_messages(str(path), CsvFormat(**asked)))


def refusal(path: Path, content: str, **asked: str) -> str:
    with pytest.raises(UserError) as error:
        read(path, content, **asked)
    return str(error.value)


def test_formats_are_tried_by_kind_and_told_by_title() -> None:
    assert NAMES[-1] == "csv"
    assert [one.kind for one in formats()] == sorted((one.kind for one in formats()), key=KINDS.index)
    assert all(one.title in titles() for one in formats())


def test_names_are_read_without_tensorflow() -> None:
    code = "import sys; import charflow.pipeline.formats.csv_format; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_format_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    content = f"(saved by a phone)\n{WHATSAPP}"
    assert read(tmp_path / "chat.txt", content, format="whatsapp") == [("Mira", "hi"), ("Bo", "you")]
    assert read(tmp_path / "chat.txt", WHATSAPP, format="plain-text") == [("chat", WHATSAPP.strip())]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("plain-text", "csv")])
def test_format_that_does_not_fit_is_refused_with_the_first_line(tmp_path: Path, name: str) -> None:
    one = format_called(name)
    assert refusal(tmp_path / "chat.csv", "when,who\nnow,mira\n", format=name) == (
        f"{tmp_path / 'chat.csv'} is not {one.title}: its first line is 'when,who'. "
        f"Leave format out, or name another: {', '.join(NAMES)}."
    )


def test_format_csv_is_read_whatever_a_file_looks_like(tmp_path: Path) -> None:
    content = '{"user": 1}\n{"user": 2}\n'
    assert " is JSON Lines, not CSV: " in refusal(tmp_path / "chat.json", content, format="csv")


UNKNOWN = {
    "a log": (
        "chat.log",
        "2024-05-06 Mira hello, you\n2024-05-07 Bo so\n",
        "is",
        "2024-05-06 Mira hello, you",
        "Write its messages to a CSV",
    ),
    "one column": ("chat.csv", "text\nhi\n", "is", "text", "Write its messages to a CSV file."),
    "JSON": ("chat.json", '\n["a", "b"]\n', "is JSON, but", '["a", "b"]', "Write its messages to a CSV file, such as "),
    "HTML": ("messages.html", "<!DOCTYPE html>\n<p>hi\n", "is HTML, but", "<!DOCTYPE html>", "Write its messages to a"),
}


@pytest.mark.parametrize(("name", "content", "what", "first", "advice"), UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_file_is_refused_with_its_first_line(
    tmp_path: Path, name: str, content: str, what: str, first: str, advice: str
) -> None:
    assert refusal(tmp_path / name, content).startswith(
        f"{tmp_path / name} {what} in no format that charflow reads ({titles()}): its first line is '{first}'. {advice}"
    )
