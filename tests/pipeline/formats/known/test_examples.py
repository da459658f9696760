"""Every format's examples in every way in which a file can be given; a new format is tried by its list of examples."""

import bz2
import gzip
import io
import lzma
import os
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from charflow.pipeline.formats.chat_format import ChatFile
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.file_types import recognise
from charflow.pipeline.formats.inputs import InputFile
from charflow.pipeline.formats.known import format_called, format_of
from charflow.pipeline.formats.messages import Messages, read_messages
from tests.pipeline.formats.chats import Example, Pairs, examples, left_out, pairs

EXAMPLES = examples()
FIRST = dict(reversed(EXAMPLES.values()))  # of each format
TEXTS = [name for name, example in FIRST.items() if isinstance(example.content, str)]


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def plainly(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def through_a_pipe(path: Path, content: bytes) -> str:
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=(content,), daemon=True).start()
    return str(path)


def on_standard_input(path: Path, content: bytes) -> str:
    sys.stdin = io.TextIOWrapper(io.BytesIO(content))  # put back by the fixture
    return "-"


WAYS: dict[str, Callable[[Path, bytes], str]] = {
    "gzip": lambda path, content: plainly(path.with_name(f"{path.name}.gz"), gzip.compress(content)),
    "bzip2": lambda path, content: plainly(path.with_name(f"{path.name}.bz2"), bz2.compress(content)),
    "xz": lambda path, content: plainly(path.with_name(f"{path.name}.xz"), lzma.compress(content)),
    "zip": lambda path, content: plainly(path.with_name("export.zip"), zipped(path.name, content)),
    "a name that says nothing": lambda path, content: plainly(path.with_name(path.stem), content),
    "a pipe": through_a_pipe,
    "standard input": on_standard_input,
    "a glob": lambda path, content: str(Path(plainly(path, content)).with_name("*")),
    "a folder": lambda path, content: str(Path(plainly(path, content)).parent),
}
ENCODED = {"utf-8-sig": "a mark", "utf-16": "UTF-16", "utf-16-be": "UTF-16 with a mark", "utf-32": "UTF-32"}


def check(name: str, example: Example, messages: Messages, path: str) -> None:
    assert pairs(messages) == expected(name, example, path)
    assert left_out(messages) == example.left_out
    assert [chat.format for chat in messages.chats] == ([example.format] if example.format else [])


def expected(name: str, example: Example, path: str) -> Pairs:
    """Only prose is signed by what the file is called."""
    return [("standard input" if name == "plain-text" and path == "-" else user, text) for user, text in example.pairs]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FIRST)
def test_format_is_read_however_it_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, way: str
) -> None:
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    example = FIRST[name]
    path = WAYS[way](tmp_path / example.name, example.bytes)
    check(name, example, read_messages(path), path)


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("name", TEXTS)
def test_format_is_read_with_a_mark_of_its_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    example = FIRST[name]
    mark = "\ufeff" if encoding.endswith("-be") else ""
    path = plainly(tmp_path / example.name, (mark + example.bytes.decode()).encode(encoding))
    check(name, example, read_messages(path), path)


@pytest.mark.parametrize("key", EXAMPLES)
def test_example_is_read_whether_its_format_is_asked_for_or_not(tmp_path: Path, key: str) -> None:
    name, example = EXAMPLES[key]
    path = plainly(tmp_path / example.name, example.bytes)
    for asked in ("auto", name):
        check(name, example, read_messages(path, CsvFormat(format=asked)), path)


@pytest.mark.parametrize("key", EXAMPLES)
def test_example_is_seen_to_be_of_its_format(tmp_path: Path, key: str) -> None:
    name, example = EXAMPLES[key]
    file = InputFile(plainly(tmp_path / example.name, example.bytes), example.name)
    chat = ChatFile.of(file, recognise(file), CsvFormat())
    assert format_of(chat, CsvFormat()) == (None if name == "csv" else format_called(name))
