"""The check of whole blocks against CsvDataset, which reads row by row, and the blocks against whole files."""

import csv
import gzip
import io
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charflow.pipeline.formats import csv_lines, csv_rows
from charflow.pipeline.formats.csv_blocks import LongRowError, row_blocks
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.csv_rows import Survey, columns_of, survey
from charflow.pipeline.formats.csv_source import CsvSource, find_sources
from charflow.pipeline.formats.long_messages import LINE_BREAK, LongMessages, Noticed

HEADER = "fromUser.id,text\n"
PIECES = ["a", "é", "😀", ",", ",", '"', '""', '","', '",\n"', "\n", "\n", "\r", "\r\n", "\0", " ", "\ufeff", HEADER]
HEADERS = ["", HEADER, '"fromUser.id","te""xt"\r\n']
FILES = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def row_by_row(source: CsvSource) -> Survey | None:
    """The same as `survey`, slow and readable: CsvDataset parses, Python looks at each row."""
    long = LongMessages(source.name, source.delimiter, source.columns)
    rows, headers, line = 0, 0, source.first_line
    try:
        for fields in csv_rows._csv_dataset(source, source.columns).as_numpy_iterator():
            first, *others = row = [field.decode() for field in fields]
            if any(len(field) > csv_lines.LONGEST_FIELD for field in fields):
                return None
            if source.header and first.removeprefix("\ufeff") == source.names[0] and (*others,) == source.names[1:]:
                headers += 1
            else:
                rows += 1
                long.see(line, row[source.text_index])
            long.look_into(line, row)
            line += 1 + sum(len(LINE_BREAK.findall(field)) for field in row)
    except (UnicodeDecodeError, tf.errors.InvalidArgumentError, tf.errors.DataLossError):
        return None
    return Survey(csv_rows.replace(source, repeats_header=headers > 0), rows, headers, long.noticed())


def rows_of(found: Survey) -> list[tuple[bytes, ...]]:
    source = found.source
    batches = columns_of(source, source.user_index, source.text_index).as_numpy_iterator()
    return [row for users, texts in batches for row in zip(users, texts)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def source_of(content: bytes, folder: Path, name: str = "chat.csv", **options: object) -> CsvSource:
    (folder / name).write_bytes(content)
    (source,) = find_sources(str(folder / name), CsvFormat(**options))
    return source


WHOLE = 1000  # bytes of a block that a whole file is
LONG_ROWS = 'x,"hi\n' + "1,2\n" * 12 + 'ok"\n'


@pytest.mark.slow
@settings(max_examples=150)
@given(
    body=FILES,
    block=st.integers(1, 20) | st.just(WHOLE),
    header=st.sampled_from(HEADERS),
)
@example(body='a,"b\n\n"\n', block=3, header=HEADER)
@example(body="a,b\r\nc,d\r\n", block=11, header=HEADER)
@example(body="a,b\r" * 3, block=4, header=HEADER.replace("\n", "\r"))
@example(body='a,b\n"a,b\nc', block=4, header=HEADER)
@example(body=f"a,b\n{HEADER}\ufeff{HEADER}c,d\n", block=1, header=HEADER)
@example(body=f'{LONG_ROWS}"a","b"x\n', block=5, header=HEADER)
@example(body=LONG_ROWS * 2 + 'y,"""\r"\r\nz,ééé\n', block=5, header=HEADER)
@example(body="a," + "x" * 32, block=WHOLE, header=HEADER)
@example(body="a," + "x" * 33, block=WHOLE, header=HEADER)
@example(body='a,"' + '""' * 32 + '"', block=WHOLE, header=HEADER)
@example(body='a,"' + '""' * 33 + '"', block=WHOLE, header=HEADER)
def test_survey_finds_what_reading_row_by_row_finds(folder: Path, body: str, block: int, header: str) -> None:
    names = {"text_column": 'te"xt'} if '""' in header else {}
    named = {"header": False, "user_column": "0", "text_column": "1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "_BLOCK", block)
        if block == WHOLE:
            patch.setattr(csv_lines, "LONGEST_FIELD", 32)
        source = source_of((header or "a,b\n").encode() + body.encode(), folder, **(names if header else named))
        found, wanted = survey(source, source), row_by_row(source)
    if source.plain:
        assert found == wanted
        assert not found or len(rows_of(found)) == found.rows


@pytest.mark.parametrize("text", [b"caf\xe9", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"])
@pytest.mark.parametrize("block", [1, 20, 1000])
def test_survey_refuses_what_is_no_utf8_in_any_block(
    text: bytes, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", block)
    for bad in (b"mira," + text + b",\n", b"mira,hi," + text + b"\n"):
        source = source_of(b"fromUser.id,text,sent\n" + b"ada,ok,1\n" * 9 + bad, tmp_path)
        assert survey(source, source) is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", "\0"])
def test_survey_knows_the_delimiter(delimiter: str, tmp_path: Path) -> None:
    rows = [("fromUser.id", "text"), ("mira", "a, b; c\td|e f"), ("ada", '"')]
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows(rows)
    source = source_of(file.getvalue().encode(), tmp_path, delimiter=delimiter)
    assert survey(source, source) == row_by_row(source)
    assert row_by_row(source) is not None


def test_survey_trusts_no_compressed_file_that_csv_dataset_reads_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(gzip.compress(f"{HEADER}mira,hi\n".encode()), tmp_path, "chat.csv.gz")
    assert survey(source, source) == Survey(source, 1, 0, survey(source, source).noticed)
    monkeypatch.setattr(csv_rows, "columns_of", lambda *_: [])
    assert survey(source, source) is None


@settings(max_examples=200)
@given(rows=st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join), max_size=6))
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", None], ids=["without the last line end", ""])
def test_row_blocks_end_where_rows_do(rows: list[str], line_end: str, last: str | None) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows([row] for row in rows)
    content = file.getvalue().encode() if last is None else file.getvalue().removesuffix(line_end).encode()
    for size in range(1, len(content) + 2):
        blocks = list(row_blocks(io.BytesIO(content), size))
        assert b"".join(blocks).removesuffix(b"\n") == content.removesuffix(b"\n")
        read = [row for block in blocks for row in csv.reader(io.StringIO(block.decode(), newline=""), strict=True)]
        assert read == [[row] for row in rows]


def test_row_blocks_are_no_longer_than_their_rows_ask_for() -> None:
    assert list(row_blocks(io.BytesIO(b"a\nb\nc\n"), 3)) == [b"a\n", b"b\nc\n"]
    assert list(row_blocks(io.BytesIO(b""), 2)) == []


def test_row_blocks_follow_an_open_quote_only_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "LONGEST_FIELD", 64)
    stream = io.BytesIO(b'a,"b\n' + b"c,d\n" * 1000)
    with pytest.raises(LongRowError):
        list(row_blocks(stream, 8))
    assert stream.tell() < 200


def test_survey_tells_lines_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", 1)
    source = source_of(b'fromUser.id,text\r\nmira,"a\r\nb"\r\nada,longest\r\nbo,"c\nd"\r\n', tmp_path)
    found = survey(source, source)
    assert found is not None
    assert found.noticed == Noticed(LongMessages(source.name, ",", 2)._told(4, "longest"))
