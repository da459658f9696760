"""Finding files and their columns, and what is said when that fails."""

import gzip
from pathlib import Path

import pytest

from charflow.pipeline.csv_source import CsvFormat, CsvSource, expand_paths, find_sources, lines_of
from charflow.pipeline.errors import UserError

HEADER = b"fromUser.id,text\n"


def write(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def source_of(path: str, **options: object) -> CsvSource:
    (source,) = find_sources(path, CsvFormat(**options))
    return source


def refusal(paths: str | list[str], **options: object) -> str:
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
    assert (source.path, source.header, source.columns) == (file, False, 3)
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
    assert source.compressed == name.endswith(".gz")


def test_find_sources_opens_every_file_of_a_glob(tmp_path: Path) -> None:
    second = write(tmp_path / "b.csv", b"text,fromUser.id\n")
    first = write(tmp_path / "a.csv", HEADER)
    sources = find_sources(str(tmp_path / "*.csv"), CsvFormat())
    assert [(source.path, source.text_index) for source in sources] == [(first, 1), (second, 0)]


def test_expand_paths_keeps_the_order_given_and_sorts_each_glob(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.csv", "z.tsv"):
        write(tmp_path / name, HEADER)
    tsv = tmp_path / "z.tsv"
    found = expand_paths([tsv, f"{tmp_path}/?.csv", f"{tmp_path}/a.csv"])
    assert [Path(file).name for file in found] == ["z.tsv", "a.csv", "b.csv", "c.csv", "a.csv"]
    assert expand_paths(tsv) == expand_paths(str(tsv)) == [str(tsv)]


def test_expand_paths_takes_a_name_with_glob_marks_literally_where_it_exists(tmp_path: Path) -> None:
    file = write(tmp_path / "chat[1].csv", HEADER)
    write(tmp_path / "chat1.csv", HEADER)
    assert expand_paths(file) == [file]


def test_lines_of_yields_physical_lines_with_their_ends(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", 'a,"b\r\nc"\né\u2028\x85😀\r\n\rlast'.encode())
    assert list(lines_of(file)) == ['a,"b\r\n', 'c"\n', "é\u2028\x85😀\r\n", "\r", "last"]


def test_lines_of_shows_undecodable_bytes_as_lone_surrogates(tmp_path: Path) -> None:
    assert list(lines_of(write(tmp_path / "chat.csv", b"caf\xe9\n\xff"))) == ["caf\udce9\n", "\udcff"]


def test_lines_of_decompresses_gzip_of_several_members(tmp_path: Path) -> None:
    (tmp_path / "chat.csv.gz").write_bytes(gzip.compress(b"a\nb") + gzip.compress(b"c\n"))
    assert list(lines_of(str(tmp_path / "chat.csv.gz"))) == ["a\n", "bc\n"]


@pytest.mark.parametrize("name", ["empty.csv", "empty.csv.gz"])
@pytest.mark.parametrize("content", [b"", b"\n\r\n\n"], ids=["no byte", "blank lines"])
def test_find_sources_refuses_an_empty_file(name: str, content: bytes, tmp_path: Path) -> None:
    file = write(tmp_path / name, content)
    assert refusal(file) == f"{file} is empty: it has no header and no rows."


def test_find_sources_refuses_a_missing_file(tmp_path: Path) -> None:
    assert refusal(f"{tmp_path}/chat.csv") == f"{tmp_path}/chat.csv: no such file."


def test_find_sources_refuses_a_glob_without_match(tmp_path: Path) -> None:
    assert refusal(f"{tmp_path}/*.csv") == f"{tmp_path}/*.csv: no file matches."


def test_find_sources_refuses_a_folder(tmp_path: Path) -> None:
    expected = f"{tmp_path} is a folder: name its CSV files, or a glob in quotes: '{tmp_path}/*.csv'."
    assert refusal(str(tmp_path)) == expected


def test_find_sources_refuses_a_folder_that_a_glob_matches(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    message = refusal(f"{tmp_path}/*.csv")
    assert message.startswith(f"{tmp_path}/a.csv ")
    assert "directory" in message or "folder" in message


def test_find_sources_refuses_no_paths() -> None:
    assert refusal([]) == "No CSV file was given."


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_find_sources_refuses_utf_16(encoding: str, tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", "\ufefffromUser.id,text\nmira,hi\n".encode(encoding))
    assert refusal(file) == f"{file} is UTF-16, not UTF-8: save it again as UTF-8 (iconv -f utf-16 -t utf-8)."


def test_find_sources_refuses_gz_that_is_not_gzip(tmp_path: Path) -> None:
    file = tmp_path / "chat.csv.gz"
    file.write_bytes(HEADER)
    assert refusal(str(file)) == f"{file} cannot be read: Not a gzipped file (b'fr')."


def test_find_sources_refuses_gz_that_is_damaged_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "chat.csv.gz"
    compressed = bytearray(gzip.compress(HEADER))
    compressed[10:14] = b"\xff" * 4
    file.write_bytes(compressed)
    assert refusal(str(file)).startswith(f"{file} cannot be read: Error -3 while decompressing data: ")


def test_find_sources_lists_the_columns_where_one_is_missing(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", b",fromUser.id,message\n")
    assert refusal(file) == (
        f"{file}: no column 'text'. Columns are: (unnamed), fromUser.id, message. Pass --text-column NAME."
    )
    assert refusal(file, user_column="user.id") == (
        f"{file}: no column 'user.id'. Columns are: (unnamed), fromUser.id, message. Pass --user-column fromUser.id."
    )
    assert refusal(file, user_column="who") == (
        f"{file}: no column 'who'. Columns are: (unnamed), fromUser.id, message. Pass --user-column NAME."
    )


def test_find_sources_refuses_a_position_beyond_the_row(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", b"mira,hi\n")
    assert refusal(file, header=False, user_column="0", text_column="2") == (
        f"{file}: no column 2: its rows have 2 columns, counted from 0."
    )


def test_find_sources_refuses_a_first_row_that_never_ends(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", b'fromUser.id,"text' + b"x" * (1 << 20))
    assert refusal(file).startswith(f"{file}: the first row cannot be read as CSV (field larger than field limit")


POSITIONS = "Without a header, columns are given by position from 0, such as 1 for user_column and 5 for text_column."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "::"}, "delimiter must be one character other than a quote or a line break, not '::'."),
        ({"delimiter": '"'}, "delimiter must be one character other than a quote or a line break, not '\"'."),
        ({"delimiter": "\n"}, r"delimiter must be one character other than a quote or a line break, not '\n'."),
        ({"user_column": "text"}, "user_column and text_column cannot both be 'text'."),
        ({"header": False}, POSITIONS),
        ({"header": False, "user_column": "-1", "text_column": "1"}, POSITIONS),
    ],
    ids=[
        "two characters",
        "quote",
        "line feed",
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
