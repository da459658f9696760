"""Finding files and their columns, and what is said when that fails."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from charflow.pipeline.errors import UserError
from charflow.pipeline.formats import csv_lines
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.csv_source import CsvSource, find_sources

HEADER = b"fromUser.id,text\n"


def write(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def source_of(path: str, **options: Any) -> CsvSource:
    (source,) = find_sources(path, CsvFormat(**options))
    return source


def refusal(paths: str | list[str], **options: Any) -> str:
    with pytest.raises(UserError) as error:
        find_sources(paths, CsvFormat(**options))
    return str(error.value)


@pytest.mark.parametrize(
    ("header", "indices"),
    [
        (b"fromUser.id,text", (0, 1, 2)),
        (b"text,fromUser.id", (1, 0, 2)),
        (b",id,text,sent,fromUser.id,", (4, 2, 6)),
        (b'"fromUser.id","text"', (0, 1, 2)),
        (b'"a,b","c\nd",text,fromUser.id', (3, 2, 4)),
        (b"\xef\xbb\xbffromUser.id,text", (0, 1, 2)),
        (b'\xef\xbb\xbf"fromUser.id","text"', (0, 1, 2)),
        (b"text,fromUser.id,text", (1, 0, 3)),
    ],
    ids=[
        "user and text",
        "text and user",
        "among others",
        "quoted",
        "line break in a name",
        "byte order mark",
        "byte order mark and quotes",
        "a name twice",
    ],
)
def test_find_sources_finds_the_columns(header: bytes, indices: tuple[int, int, int], tmp_path: Path) -> None:
    source = source_of(write(tmp_path / "chat.csv", header + b"\n"))
    assert (source.user_index, source.text_index, source.columns) == indices
    assert source.header


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", ""], ids=["LF", "CRLF", "CR", "none"])
def test_find_sources_reads_a_header_with_any_line_end(line_end: str, tmp_path: Path) -> None:
    source = source_of(write(tmp_path / "chat.csv", f"text,fromUser.id{line_end}".encode()))
    assert (source.user_index, source.text_index, source.columns) == (1, 0, 2)


def test_find_sources_without_header_counts_columns_from_0(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", b"2024,hi,mira\n")
    source = source_of(file, header=False, user_column="2", text_column="1")
    assert (source.name, source.header, source.columns) == (file, False, 3)
    assert (source.user_index, source.text_index) == (2, 1)


@pytest.mark.parametrize(
    ("name", "given", "delimiter"),
    [
        ("chat.csv", "", ","),
        ("chat.txt", "", ","),
        ("chat.tsv", "", "\t"),
        ("chat.tab", "", "\t"),
        ("chat.tsv.gz", "", "\t"),
        ("chat.csv.gz", "", ","),
        ("chat.csv", ";", ";"),
        ("chat.tsv", "|", "|"),
    ],
)
def test_find_sources_picks_the_delimiter(name: str, given: str, delimiter: str, tmp_path: Path) -> None:
    file = write(tmp_path / name, f"fromUser.id{delimiter}text\n".encode())
    source = source_of(file, delimiter=given)
    assert source.delimiter == delimiter
    assert source.layers == (("gzip",) if name.endswith(".gz") else ())


def test_find_sources_opens_every_file_of_a_glob(tmp_path: Path) -> None:
    second = write(tmp_path / "b.csv", b"text,fromUser.id\n")
    first = write(tmp_path / "a.csv", HEADER)
    sources = find_sources(str(tmp_path / "*.csv"), CsvFormat())
    assert [(source.name, source.text_index) for source in sources] == [(first, 1), (second, 0)]


@pytest.mark.parametrize("name", ["empty.csv", "empty.csv.gz"])
@pytest.mark.parametrize("content", [b"", b"\n\r\n\n"], ids=["no byte", "blank lines"])
def test_find_sources_refuses_an_empty_file(name: str, content: bytes, tmp_path: Path) -> None:
    file = write(tmp_path / name, content)
    assert refusal(file) == f"{file} is empty: it has no header and no rows."


def test_find_sources_goes_by_the_content_and_not_by_the_name(tmp_path: Path) -> None:
    (tmp_path / "chat.csv.gz").write_bytes(HEADER)
    (tmp_path / "chat.csv").write_bytes(gzip.compress(HEADER))
    (tmp_path / "chat.tsv.gz").write_bytes(gzip.compress(b"text\tfromUser.id\n"))
    sources = find_sources([str(tmp_path / name) for name in ("chat.csv.gz", "chat.csv", "chat.tsv.gz")], CsvFormat())
    assert [source.layers for source in sources] == [(), ("gzip",), ("gzip",)]
    assert [source.text_index for source in sources] == [1, 1, 0]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_find_sources_takes_the_encoding_that_a_mark_tells(encoding: str, tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", "\ufefffromUser.id,text\nmira,hi\n".encode(encoding))
    assert source_of(file).encoding == encoding[:6]
    assert source_of(file, encoding=encoding).names == ("fromUser.id", "text")


@pytest.mark.parametrize("first", ["sep=;\r\n", "SEP=;\n", '"sep=;"\r\n'])
def test_find_sources_takes_the_delimiter_that_a_line_for_excel_tells(first: str, tmp_path: Path) -> None:
    source = source_of(write(tmp_path / "chat.csv", f"{first}text;fromUser.id\n".encode()))
    assert (source.delimiter, source.skip_lines, source.user_index, source.plain) == (";", 1, 1, False)
    source = source_of(write(tmp_path / "chat.csv", f"{first}text,fromUser.id\n".encode()), delimiter=",")
    assert (source.delimiter, source.skip_lines, source.user_index) == (",", 1, 1)


def test_find_sources_refuses_gz_that_is_damaged_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "chat.csv.gz"
    compressed = bytearray(gzip.compress(HEADER))
    compressed[10:14] = b"\xff" * 4
    file.write_bytes(compressed)
    assert refusal(str(file)).startswith(f"{file} cannot be read: Error -3 while decompressing data: ")


def test_find_sources_lists_the_columns_where_one_is_missing(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", b",fromUser.id,message\n")
    columns = "Columns are: '', 'fromUser.id', 'message'."
    assert refusal(file) == f"{file}: no column 'text'. {columns}"
    assert refusal(file, user_column="who") == f"{file}: no columns 'who' and 'text'. {columns}"


def test_find_sources_refuses_a_position_beyond_the_row(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", b"mira,hi\n")
    assert refusal(file, header=False, user_column="0", text_column="2") == (
        f"{file}: no column 2: its rows have 2 columns, counted from 0."
    )


def test_find_sources_refuses_a_first_row_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "LONGEST_FIELD", 1 << 10)
    file = write(tmp_path / "chat.csv", b'fromUser.id,"text' + b"x" * (1 << 10))
    assert refusal(file).startswith(f"{file}: the first row cannot be read as CSV (field larger than field limit")


POSITIONS = "Without a header, columns are given by position from 0, such as 1 for user_column and 5 for text_column."
ESCAPE = "escape must be one character other than a quote, a blank, a line break or the delimiter, not "


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "::"}, "delimiter must be one character other than a quote or a line break, not '::'."),
        ({"delimiter": '"'}, "delimiter must be one character other than a quote or a line break, not '\"'."),
        ({"delimiter": "\n"}, r"delimiter must be one character other than a quote or a line break, not '\n'."),
        ({"escape": "ab"}, f"{ESCAPE}'ab'."),
        ({"escape": ";", "delimiter": ";"}, f"{ESCAPE}';'."),
        ({"escape": '"'}, f"{ESCAPE}'\"'."),
        ({"user_column": "text"}, "user_column and text_column cannot both be 'text'."),
        ({"header": False}, POSITIONS),
        ({"header": False, "user_column": "-1", "text_column": "1"}, POSITIONS),
    ],
    ids=[
        "two characters",
        "quote",
        "line feed",
        "two characters to escape",
        "the delimiter to escape",
        "a quote to escape",
        "same name",
        "names without header",
        "negative position",
    ],
)
def test_csv_format_refuses(options: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        CsvFormat(**options)
    assert str(error.value) == message


def test_csv_format_refuses_the_same_position_written_twice() -> None:
    with pytest.raises(UserError, match=r"^user_column and text_column cannot both be '0?1'\.$"):
        CsvFormat(header=False, user_column="1", text_column="01")
