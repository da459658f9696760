"""The close look at a file that the fast reader refused."""

import csv
from pathlib import Path
from typing import Any

import pytest

from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.csv_repair import BadRow, clean_copy
from charflow.pipeline.formats.csv_source import find_sources

HEADER = b"id,fromUser.id,text\n"
QUOTE = "a quote opens here and is not closed properly"
BYTES = "the row has bytes that are not UTF-8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clean").mkdir()
    return tmp_path / "clean"


def repaired(path: Path, folder: Path, *, skip: bool = False, **options: Any) -> tuple[list[list[str]], list[BadRow]]:
    """The rows of the clean copy, read by Python, and the bad rows."""
    (source,) = find_sources(str(path), CsvFormat(**options))
    clean = clean_copy(source, folder / "clean.csv", skip_bad_rows=skip)
    with Path(clean.copy.file.path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    assert len(rows) == clean.rows
    return rows, clean.bad_rows


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (b'1,a,5" disk\n2,b,say "hi"\n', [["a", '5" disk'], ["b", 'say "hi"']]),
        (b"\n1,a,x\n\r\n\n2,b,y\n\n", [["a", "x"], ["b", "y"]]),
        (b'1,a,"x\r\ny\n\nz"\r\n2,b,\r\n', [["a", "x\r\ny\n\nz"], ["b", ""]]),
        (b'1,a,"say ""hi"", ok"\n2,"b,c",\xf0\x9f\x98\x80', [["a", 'say "hi", ok'], ["b,c", "😀"]]),
        (b"1,a,x\r2,b,y\r", [["a", "x"], ["b", "y"]]),
        (b"", []),
    ],
    ids=["quotes inside", "blank lines", "line breaks in quotes", "quoted", "CR line ends", "no rows"],
)
def test_clean_copy_keeps_every_good_row(rows: bytes, expected: list[list[str]], tmp_path: Path, folder: Path) -> None:
    (tmp_path / "chat.csv").write_bytes(HEADER + rows)
    assert repaired(tmp_path / "chat.csv", folder) == (expected, [])


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("row", [b"hi,mira", b'"hi","mira"', b'\n\nhi,"mira"'], ids=["bare", "quoted", "blank lines"])
def test_clean_copy_without_header_keeps_the_first_row(row: bytes, mark: bytes, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "chat.csv").write_bytes(mark + row)
    rows, _ = repaired(tmp_path / "chat.csv", folder, header=False, user_column="1", text_column="0")
    assert rows == [["mira", "hi"]]


@pytest.mark.parametrize(
    "header",
    [
        b"id,fromUser.id,text\n",
        b'"id","fromUser.id","text"\r\n',
        b'"i\nd",fromUser.id,text\n',
        b"\n\nid,fromUser.id,text\n",
    ],
    ids=["bare", "quoted", "line break in a name", "after blank lines"],
)
def test_clean_copy_leaves_out_the_header(header: bytes, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "chat.csv").write_bytes(header + b"1,mira,hi\n")
    assert repaired(tmp_path / "chat.csv", folder) == ([["mira", "hi"]], [])


def test_clean_copy_is_a_source_of_two_quoted_columns(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "chat.tsv").write_bytes(b"text\tid\tfromUser.id\nhi\t1\tmira\n")
    (source,) = find_sources(str(tmp_path / "chat.tsv"), CsvFormat())
    copy = clean_copy(source, folder / "clean.csv", skip_bad_rows=False).copy
    assert (folder / "clean.csv").read_bytes() == b'"mira","hi"\n'
    assert copy.file.path == str(folder / "clean.csv")
    assert copy.name == source.name
    assert (copy.delimiter, copy.header, copy.columns, copy.user_index, copy.text_index) == (",", False, 2, 0, 1)


BAD_ROWS = {
    "too few fields": (b"1,mira\n", 2, "the row has 2 fields where 3 are expected"),
    "one field": (b"mira\n", 2, "the row has 1 field where 3 are expected"),
    "too many fields": (b"1,mira,hi,there\n", 2, "the row has 4 fields where 3 are expected"),
    "quote not closed": (b'1,mira,"hi\n', 2, QUOTE),
    "quote closed too early": (b'1,mira,"hi" there\n', 2, QUOTE),
    "not UTF-8": (b"1,mira,caf\xe9\n", 2, BYTES),
    "half a character": (b"1,mira,\xf0\x9f\x98\n", 2, BYTES),
    "encoded surrogate": (b"1,mira,\xed\xa0\x80\n", 2, BYTES),
    "not UTF-8 in the second line of a text": (b'1,mira,"hi\ncaf\xe9"\n', 3, BYTES),
}


@pytest.mark.parametrize(("row", "line", "reason"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
@pytest.mark.parametrize("after", [b"2,ada,ok\n", b'2,ada,"o ""k"""\n', b""], ids=["bare", "quoted", "end of file"])
def test_clean_copy_names_the_bad_row_and_keeps_the_others(
    row: bytes, line: int, reason: str, after: bytes, tmp_path: Path, folder: Path
) -> None:
    path = tmp_path / "chat.csv"
    path.write_bytes(HEADER + row + after)
    rows, bad = repaired(path, folder, skip=True)
    assert bad == [BadRow(str(path), line, reason)]
    assert rows == {b"2,ada,ok\n": [["ada", "ok"]], b'2,ada,"o ""k"""\n': [["ada", 'o "k"']], b"": []}[after]
    with pytest.raises(UserError) as error:
        repaired(path, folder)
    assert str(error.value) == f"{path}, line {line}: {reason}."


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_clean_copy_counts_physical_lines(line_end: bytes, tmp_path: Path, folder: Path) -> None:
    lines = [b"fromUser.id,text", b'mira,"one', b"", b'two"', b"", b"ada", b"mira,three", b'ada,"x', b"mira,four"]
    path = tmp_path / "chat.csv"
    path.write_bytes(line_end.join(lines))
    rows, bad = repaired(path, folder, skip=True)
    assert [row[1].split() for row in rows] == [["one", "two"], ["three"], ["four"]]
    assert bad == [
        BadRow(str(path), 6, "the row has 1 field where 2 are expected"),
        BadRow(str(path), 8, QUOTE),
    ]


def test_clean_copy_counts_the_bad_rows_it_does_not_name(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "chat.csv"
    path.write_bytes(HEADER + b"1,mira,hi\n" * 1500 + b"1,ada\n" * 1200)
    with pytest.raises(UserError) as error:
        repaired(path, folder)
    assert str(error.value) == (
        f"{path}, line 1,502: the row has 2 fields where 3 are expected. It is the first of 1,200 such rows."
    )
