"""Recognising files by what is in them."""

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pytest

from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.file_types import recognise, text_type, uncovered
from charflow.pipeline.formats.inputs import InputFile

CHAT = b"fromUser.id,text\nmira,hi\n"


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def input_of(path: Path, content: bytes) -> InputFile:
    path.write_bytes(content)
    return InputFile(str(path), str(path))


COMPRESSED = {
    "not at all": (CHAT, ()),
    "gzip": (gzip.compress(CHAT), ("gzip",)),
    "gzip twice": (gzip.compress(gzip.compress(CHAT)), ("gzip", "gzip")),
    "bzip2": (bz2.compress(CHAT), ("bzip2",)),
    "xz": (lzma.compress(CHAT), ("xz",)),
    "zip": (zipped(**{"chat.csv": CHAT, "__MACOSX/._chat.csv": b"x", ".DS_Store": b"x"}), ("zip",)),
    "zip of gzip": (zipped(**{"chat.csv.gz": gzip.compress(CHAT)}), ("zip", "gzip")),
}


@pytest.mark.parametrize(("content", "layers"), COMPRESSED.values(), ids=COMPRESSED)
def test_recognise_uncovers_what_is_compressed(content: bytes, layers: tuple[str, ...], tmp_path: Path) -> None:
    file = input_of(tmp_path / "chat", content)
    found = recognise(file)
    assert (found.layers, found.head) == (layers, CHAT)
    with uncovered(file, found.layers) as stream:
        assert stream.read() == CHAT


def test_recognise_gives_the_name_under_the_compression(tmp_path: Path) -> None:
    assert recognise(input_of(tmp_path / "a.tsv.xz", lzma.compress(CHAT))).inner_name == str(tmp_path / "a.tsv")
    assert recognise(input_of(tmp_path / "a.zip", zipped(**{"b.tsv": CHAT}))).inner_name == "b.tsv"


NOT_READ = ", which charflow does not read"
OTHERS = {
    "ORC": (b"ORC\x08", f"is ORC{NOT_READ}: write its messages to a CSV file, such as with pandas."),
    "SQLite": (
        b"SQLite format 3\0",
        f"is an SQLite database{NOT_READ}: write its messages to a CSV file with sqlite3 ",
    ),
    "PDF": (b"%PDF-1.7\n", f"is PDF{NOT_READ}: "),
    "pickle": (b"\x80\x04\x95\x10", f"is a Python pickle{NOT_READ}: "),
    "HDF5": (b"\x89HDF\r\n\x1a\n", f"is HDF5{NOT_READ}: "),
    "zstd": (b"\x28\xb5\x2f\xfd", f"is compressed by zstd{NOT_READ}: uncompress it with zstd -d."),
    "PNG": (b"\x89PNG\r\n\x1a\n", f"is a PNG image{NOT_READ}: name the text "),
    "tar": (b"chat.csv".ljust(257, b"\0") + b"ustar\0", f"is a tar archive{NOT_READ}: unpack it"),
    "tar in gzip": (
        gzip.compress(b"a".ljust(257, b"\0") + b"ustar"),
        f"is a tar archive in gzip{NOT_READ}: unpack it",
    ),
    "old Excel": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        f"is an old Office document (.xls, .doc){NOT_READ}: save ",
    ),
    "Excel": (
        zipped(**{"xl/workbook.xml": b""}),
        f"is an Excel workbook{NOT_READ}: save its sheet as CSV UTF-8.",
    ),
    "OpenDocument": (
        zipped(**{"content.xml": b"", "mimetype": b""}),
        f"is an OpenDocument file{NOT_READ}: save ",
    ),
    "zip of two": (zipped(a=CHAT, b=CHAT), "is a zip archive of 2 files ('a', 'b'): unpack it and name the chats "),
    "empty zip": (zipped(), "is a zip archive of 0 files: unpack it"),
    "zip cut short": (
        zipped(a=CHAT)[:50],
        "cannot be read: File is not a zip file; it is cut short: copy it, or download it, anew.",
    ),
    "xz cut short": (lzma.compress(CHAT)[:-20], "cannot be read: Compressed file ended before the end-of-stream "),
    "bytes after gzip": (
        gzip.compress(CHAT) + b"junk",
        "cannot be read: Not a gzipped file (b'ju'); other bytes follow the compressed text: uncompress it with gzip "
        "-dc, which leaves them out.",
    ),
    "gzip damaged": (
        gzip.compress(CHAT)[:-8] + b"\0" * 8,
        "cannot be read: CRC check failed 0x0 != ",
    ),
}


@pytest.mark.parametrize(("content", "message"), OTHERS.values(), ids=OTHERS)
def test_recognise_names_what_it_cannot_read(content: bytes, message: str, tmp_path: Path) -> None:
    file = input_of(tmp_path / "chat.csv", content)
    with pytest.raises(UserError) as error:
        recognise(file)
    assert str(error.value).startswith(f"{file.name} {message}")


def test_recognise_bounds_the_names_in_an_archive(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        recognise(input_of(tmp_path / "a.zip", zipped(**{f"{'x' * 1000}{i}": b"" for i in range(50)})))
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'{"messages": []}', "JSON"),
        (b' [\n  {"id": 1', "JSON"),
        (b'{"text": "hi"}\r\n{"text": "ho"}', "JSON Lines"),
        (b"<table><tr>", "HTML"),
        (b"<!DOCTYPE html>", "HTML"),
        (b'<?xml version="1.0"?>', "XML"),
        (b"{\\rtf1", "RTF"),
        (b"[id],[text]", None),
        (b"fromUser.id,text", None),
        (b"<mira> hi", "XML"),
    ],
)
def test_text_type_names_other_texts(head: bytes, name: str | None) -> None:
    found = text_type(head)
    assert (found and found[0]) == name
