"""Messages against pandas: the same rows from the same bytes, on the fast road and by way of a clean copy."""

import bz2
import csv
import gzip
import io
import lzma
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charflow.pipeline.errors import UserError
from charflow.pipeline.formats import csv_lines, csv_rows, encodings
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.csv_repair import BadRow, clean_copy
from charflow.pipeline.formats.csv_source import find_sources
from charflow.pipeline.formats.long_messages import LongMessage, Noticed
from charflow.pipeline.formats.messages import VERDICTS, Messages, count_users, judge, read_messages
from charflow.pipeline.sample_chat import write_sample_chat

Rows = list[tuple[str, str]]
few = settings(max_examples=20)

HEADER = b"fromUser.id,text\n"
NO_HEADER = {"header": False, "user_column": "0", "text_column": "1"}
REASONS = {
    "too few fields": "the row has 4 fields where 8 are expected",
    "unbalanced quote": "a quote opens here and is not closed properly",
    "not UTF-8": "the row has bytes that are not UTF-8",
}

PIECES = ["a", "B", " ", ",", ";", "\t", '"', '""', "\n", "\r\n", "\r", "é", "Я", "😀", "e\u0301", "\u2028", "\x85"]
FIELDS = st.lists(st.sampled_from([*PIECES, "NA", "null", "1.0", "\\", "'", "\ufeff"]), max_size=6).map("".join)
WRITERS = {
    "minimal, CRLF": {"quoting": csv.QUOTE_MINIMAL, "lineterminator": "\r\n"},
    "all, LF": {"quoting": csv.QUOTE_ALL, "lineterminator": "\n"},
    "all, CRLF": {"quoting": csv.QUOTE_ALL, "lineterminator": "\r\n"},
    "all, CR": {"quoting": csv.QUOTE_ALL, "lineterminator": "\r"},
    "all but numbers, LF": {"quoting": csv.QUOTE_NONNUMERIC, "lineterminator": "\n"},
}


def rows_of(messages: Messages) -> Rows:
    batches = messages.dataset().as_numpy_iterator()
    return [(user.decode(), text.decode()) for users, texts in batches for user, text in zip(users, texts)]


def pandas_rows(path: str, user: Any = "fromUser.id", text: Any = "text", **options: Any) -> Rows:
    table = pd.read_csv(path, keep_default_na=False, dtype=str, **options)
    return list(zip(table[user], table[text]))


def is_clean_copy(messages: Messages) -> list[bool]:
    return [Path(source.file.path).name == "clean.csv" for source in messages.sources]


def write(path: Path, content: bytes) -> str:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def written(rows: list[tuple[str, ...]], **options: Any) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, **options).writerows(rows)
    return file.getvalue().encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.mark.slow
@few
@given(rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=8), writer=st.sampled_from([*WRITERS]))
def test_read_messages_equals_pandas_however_it_is_written(folder: Path, rows: Rows, writer: str) -> None:
    file = write(folder / "chat.csv", written([("fromUser.id", "text"), *rows], **WRITERS[writer]))
    read = read_messages(file)
    assert rows_of(read) == pandas_rows(file) == rows
    assert is_clean_copy(read) == [False]


@pytest.mark.slow
@few
@given(
    rows=st.lists(st.tuples(FIELDS, FIELDS, FIELDS), min_size=1, max_size=8),
    names=st.permutations(["fromUser.id", "text", "", "sent"])
    .map(lambda names: names[:3])
    .filter(lambda names: {"fromUser.id", "text"} <= set(names)),
    delimiter=st.sampled_from(",;|\t "),
    last_line_end=st.booleans(),
    suffix=st.sampled_from(["", ".gz"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_read_messages_equals_pandas_for_any_layout(
    folder: Path, rows: list, names: list[str], delimiter: str, last_line_end: bool, suffix: str, mark: bytes
) -> None:
    content = written([tuple(names), *rows], delimiter=delimiter, lineterminator="\r\n")
    file = write(folder / f"chat.csv{suffix}", mark + (content if last_line_end else content.removesuffix(b"\r\n")))
    expected = [(row[names.index("fromUser.id")], row[names.index("text")]) for row in rows]
    assert rows_of(read_messages(file, CsvFormat(delimiter=delimiter))) == expected
    assert pandas_rows(file, sep=delimiter, encoding="utf-8") == expected


# Unquoted fields with quotes inside, and blank lines: the fast reader refuses both.
BARE = st.lists(st.sampled_from(["a", "é", "😀", " ", "\t", "it's", "5", ";"]), max_size=3).map("".join)
BARE_WITH_QUOTE = st.tuples(BARE.filter(bool), st.sampled_from(['"', '""', '" "', '"x"']), BARE).map("".join)
BLANK = st.lists(st.sampled_from(["\n", "\r\n"]), max_size=2).map("".join)


@pytest.mark.slow
@few
@given(
    rows=st.lists(st.tuples(BARE, BARE | BARE_WITH_QUOTE, BLANK), min_size=1, max_size=8),
    last=st.tuples(BARE, BARE_WITH_QUOTE),
)
def test_read_messages_equals_pandas_by_way_of_a_clean_copy(folder: Path, rows: list, last: tuple[str, str]) -> None:
    lines = [f"{user},{text}\n{blank}" for user, text, blank in rows]
    file = write(folder / "chat.csv", "".join(["fromUser.id,text\n", *lines, ",".join(last)]).encode())
    read = read_messages(file)
    assert rows_of(read) == pandas_rows(file) == [*(row[:2] for row in rows), last]
    assert is_clean_copy(read) == [True]
    assert read.bad_rows == ()


@pytest.mark.slow
@few
@given(
    rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=5).filter(lambda rows: rows[0][0][:1] != "\ufeff"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    text_first=st.booleans(),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_read_messages_without_header_equals_pandas(
    folder: Path, rows: Rows, quoting: int, text_first: bool, mark: bytes
) -> None:
    file = write(folder / "chat.csv", mark + written(rows, quoting=quoting))
    user, text = (1, 0) if text_first else (0, 1)
    read = read_messages(file, CsvFormat(header=False, user_column=str(user), text_column=str(text)))
    assert rows_of(read) == [(row[user], row[text]) for row in rows]
    assert rows_of(read) == pandas_rows(file, user, text, header=None)


LAYOUTS = {
    "plain": HEADER + b"mira,hi\nada,\n",
    "last line without line break": HEADER + b"mira,hi\nada,ok",
    "CRLF": b"fromUser.id,text\r\nmira,hi\r\nada,ok\r\n",
    "CR": b"fromUser.id,text\rmira,hi\rada,ok\r",
    "mixed line ends": b"fromUser.id,text\r\nmira,hi\nada,ok\r\n",
    "byte order mark": b"\xef\xbb\xbf" + HEADER + b"mira,hi\n",
    "byte order mark and quotes": b'\xef\xbb\xbf"fromUser.id","text"\n"mira","hi"\n',
    "line breaks in quotes": HEADER + b'mira,"a\nb\r\nc\n\nd"\nada,"\n"\n',
    "line break in a name": b'fromUser.id,text,"se\nnt"\nmira,hi,1\n',
    "text before user": b"text,fromUser.id\nhi,mira\n",
    "quotes inside": HEADER + b'mira,5" disk\nada,a "b" c\n',
    "blank lines": HEADER + b"\nmira,hi\n\n\r\nada,ok\n\n",
    "blank lines before the header": b"\n\r\n" + HEADER + b"mira,hi\n",
    "blank lines before the header and below": b"\n" + HEADER + b"mira,hi\n\nada,ok\n",
    "byte order mark in a text": HEADER + b"mira,\xef\xbb\xbfhi\n\xef\xbb\xbfada,ok\n",
    "empty fields": HEADER + b',\n"",""\n,hi\n',
    "words pandas may take for missing": HEADER + b"NA,null\nnan,None\n",
    "a name twice": b"fromUser.id,text,text\nmira,hi,no\n",
    "noncharacters": HEADER + "mira,\uffff\ufffe\U0010ffff\ufffd\n".encode(),
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gzip"])
@pytest.mark.parametrize("content", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_read_messages_equals_pandas_on(content: bytes, suffix: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"chat.csv{suffix}", content)
    read = read_messages(file)
    assert rows_of(read) == pandas_rows(file)
    assert read.rows == len(pandas_rows(file))


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("chat.tsv", b"fromUser.id\ttext\nmira\thi, you\n", {}),
        ("chat.tsv.gz", b"fromUser.id\ttext\nmira\thi, you\n", {}),
        ("chat.csv", b"fromUser.id;text\nmira;hi, you\n", {"delimiter": ";"}),
        ("chat.csv", "fromUser.id§text\nmira§hi, you\n".encode(), {"delimiter": "§"}),
        ("chat.csv", b'mira,"hi, you"\n', NO_HEADER),
        ("chat.csv", b'"hi, you",x,mira\n', {"header": False, "user_column": "2", "text_column": "0"}),
        ("chat.csv", b'who,what\nmira,"hi, you"\n', {"user_column": "who", "text_column": "what"}),
    ],
    ids=["tsv", "tsv.gz", "semicolon", "delimiter beyond ASCII", "no header", "text first", "other names"],
)
def test_read_messages_follows_the_format(name: str, content: bytes, options: dict, tmp_path: Path) -> None:
    read = read_messages(write(tmp_path / name, content), CsvFormat(**options))
    assert rows_of(read) == [("mira", "hi, you")]


def test_read_messages_equals_pandas_on_the_sample_chat(sample_chat: str, sample_table: pd.DataFrame) -> None:
    read = read_messages(sample_chat)
    assert rows_of(read) == list(zip(sample_table["fromUser.id"], sample_table["text"]))
    assert read.rows == 600
    assert is_clean_copy(read) == [False]


def test_read_messages_reads_gzip_of_several_members(tmp_path: Path) -> None:
    (tmp_path / "chat.csv.gz").write_bytes(gzip.compress(HEADER + b"mira,hi\nada,") + gzip.compress(b"ok\n"))
    assert rows_of(read_messages(str(tmp_path / "chat.csv.gz"))) == [("mira", "hi"), ("ada", "ok")]


@pytest.mark.slow
def test_read_messages_joins_several_files_in_order(tmp_path: Path) -> None:
    write(tmp_path / "b.csv", b"text,fromUser.id\nthird,mira\n")
    b = write(tmp_path / "last.csv", b"text,fromUser.id\nfourth,mira\n")
    write(tmp_path / "a.csv", HEADER + b'mira,first\nada,the "second"\n')
    z = write(tmp_path / "z.tsv.gz", b"fromUser.id\ttext\nada\tzeroth\n")
    read = read_messages([z, f"{tmp_path}/?.csv", b])
    assert [text for _, text in rows_of(read)] == ["zeroth", "first", 'the "second"', "third", "fourth"]
    assert is_clean_copy(read) == [False, True, False, False]
    assert read.rows == 5


@pytest.mark.parametrize("rows_per_batch", [1, 2, 3, 4096])
def test_read_messages_does_not_depend_on_the_batch(
    rows_per_batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "_ROWS_PER_BATCH", rows_per_batch)
    files = [write(tmp_path / name, HEADER + b"a,1\nb,2\na,3\nb,4\n") for name in ("a.csv", "b.csv")]
    read = read_messages(files)
    assert [text for _, text in rows_of(read)] == list("12341234")
    assert read.rows == 8


def test_read_messages_can_be_read_twice(tmp_path: Path) -> None:
    read = read_messages(write(tmp_path / "chat.csv", HEADER + b'a,"1\n2"\nb,x"y\n'))
    assert rows_of(read) == rows_of(read) == [("a", "1\n2"), ("b", 'x"y')]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gzip"])
def test_read_messages_skips_exactly_the_broken_rows(seed: int, suffix: str, tmp_path: Path) -> None:
    write_sample_chat(tmp_path / "whole.csv", messages=200, seed=seed)
    broken = write_sample_chat(tmp_path / "broken.csv", messages=200, seed=seed, broken_rows=9)
    file = write(tmp_path / f"chat.csv{suffix}", (tmp_path / "broken.csv").read_bytes())
    read = read_messages(file, CsvFormat(skip_bad_rows=True))
    assert rows_of(read) == pandas_rows(str(tmp_path / "whole.csv"))
    assert read.bad_rows == tuple(BadRow(file, row.line, REASONS[row.kind]) for row in broken)
    assert read.rows == 200


@pytest.mark.parametrize("kind", REASONS)
@pytest.mark.parametrize("more", [0, 1], ids=["once", "twice"])
def test_read_messages_names_the_first_broken_row(kind: str, more: int, tmp_path: Path) -> None:
    write_sample_chat(tmp_path / "whole.csv", messages=60)
    broken = write_sample_chat(tmp_path / "broken.csv", messages=60, broken_rows=6)
    wanted = [row.line for row in broken if row.kind == kind][: 1 + more]
    lines = (tmp_path / "broken.csv").read_bytes().splitlines(keepends=True)
    unwanted = {row.line for row in broken} - set(wanted)
    file = write(tmp_path / "chat.csv", b"".join(x for i, x in enumerate(lines, start=1) if i not in unwanted))
    line = wanted[0] - sum(other < wanted[0] for other in unwanted)
    with pytest.raises(UserError) as error:
        read_messages(file)
    first_of = " It is the first of 2 such rows. Pass skip_bad_rows=True to leave them out."
    assert str(error.value) == (
        f"{file}, line {line}: {REASONS[kind]}." + (first_of if more else " Pass skip_bad_rows=True to leave it out.")
    )


@pytest.mark.parametrize("text", [b"caf\xe9", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"])
def test_read_messages_refuses_what_is_no_utf8(text: bytes, tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", HEADER + "mira,é😀\n".encode() + b"ada," + text + b"\nada,ok\n")
    with pytest.raises(UserError, match=r"line 3: the row has bytes that are not UTF-8\."):
        read_messages(file)


@pytest.mark.parametrize(
    "content",
    [b"mira,\xed\xa0\x80\n", b"mira,\xc0\x80\n", b"ada,ok\n" * 5000 + b"\xff,hi\n"],
    ids=["encoded surrogate", "overlong", "second batch"],
)
def test_read_messages_refuses_bytes_that_are_not_utf8(content: bytes, tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", HEADER + content)
    line = 1 + content.count(b"\n")
    with pytest.raises(UserError) as error:
        read_messages(file)
    reason = "the row has bytes that are not UTF-8. Pass encoding='cp1252' (it then reads "
    assert str(error.value).startswith(f"{file}, line {line:,}: {reason}")
    leaves_rows = content.count(b"\n") > 1
    assert str(error.value).endswith("Or pass skip_bad_rows=True to leave it out.") == leaves_rows


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-be", "utf-32-le", "cp1252", "mac-roman", "shift-jis", "gb18030"]
)
@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gzip"])
def test_read_messages_equals_pandas_in_another_encoding(encoding: str, suffix: str, tmp_path: Path) -> None:
    words = {"shift-jis": "今日は", "gb18030": "你好"}.get(encoding, "café Ü")
    content = f'fromUser.id,text\r\n{words},"a\r\n{words}"\r\nada,"{words}, ""ok"""\r\n'.encode(encoding)
    file = write(tmp_path / f"chat.csv{suffix}", content)
    read = read_messages(file, CsvFormat(encoding=encoding))
    assert (
        rows_of(read) == pandas_rows(file, encoding=encoding) == [(words, f"a\r\n{words}"), ("ada", f'{words}, "ok"')]
    )


def test_read_messages_decodes_across_the_ends_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "_BLOCK", 3)
    file = write(tmp_path / "chat.csv", "\ufefffromUser.id,text\nmira,a😀é\n".encode("utf-16-le"))
    assert rows_of(read_messages(file)) == [("mira", "a😀é")]


def test_read_messages_names_bytes_that_another_encoding_lacks(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", HEADER + b"mira,\x81\x8d\nada,caf\xe9\n")
    with pytest.raises(UserError) as error:
        read_messages(file, CsvFormat(encoding="cp1252"))
    assert str(error.value).startswith(f"{file}, line 2: the row has bytes that are not cp1252. ")
    read = read_messages(file, CsvFormat(encoding="cp1252", skip_bad_rows=True))
    assert rows_of(read) == [("ada", "café")]
    assert read.bad_rows == (BadRow(file, 2, "the row has bytes that are not cp1252"),)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_read_messages_uncompresses_whatever_the_name(compress: Any, tmp_path: Path) -> None:
    rows = [("mira", "hi"), ("ada", 'o"k')]  # the second is for the slow reader
    for content in (HEADER + b"mira,hi\n", HEADER + b'mira,hi\nada,o"k\n'):
        (tmp_path / "chat").write_bytes(compress(content))
        read = read_messages(str(tmp_path / "chat"))
        assert rows_of(read) == rows[: read.rows]
        (tmp_path / "cut").write_bytes(compress(content)[:-5])
        with pytest.raises(UserError, match="cut cannot be read"):
            read_messages(str(tmp_path / "cut"))


@pytest.mark.parametrize("user", ["mira", "text"])
@pytest.mark.parametrize("slow", [b"", b'bo,o"k\n'], ids=["fast reader", "slow reader"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
def test_read_messages_leaves_out_headers_of_joined_files(user: str, slow: bytes, mark: bytes, tmp_path: Path) -> None:
    one = mark + HEADER + f"{user},fromUser.id\n".encode() + slow
    file = write(tmp_path / "chat.csv", one + one + one)
    read = read_messages(file)
    rows = [(user, "fromUser.id"), *([("bo", 'o"k')] if slow else [])]
    assert rows_of(read) == rows * 3
    assert (read.rows, read.repeated_headers, read.all_rows) == (3 * len(rows), 2, 3 * len(rows) + 2)
    read = read_messages(write(tmp_path / "none.csv", one), CsvFormat(**NO_HEADER))
    assert read.repeated_headers == 0


@pytest.mark.parametrize("slow", [b"", b'bo,o"k\n'], ids=["fast reader", "slow reader"])
def test_read_messages_notices_where_the_longest_message_is(slow: bytes, tmp_path: Path) -> None:
    rows = b'ada,"a\nb"\n"mi\r\nra","one\r\ntwo\rthree\n\nfive"\nada,' + "é".encode() * 12 + b"\n"
    file = write(tmp_path / "chat.csv", b'fromUser.id,"text"\n' + rows + slow)
    assert read_messages(file).noticed == Noticed(LongMessage(file, 4, 5, 20))
    write(tmp_path / "a.csv", HEADER + b"ada,hi\n")
    assert read_messages([file, str(tmp_path / "a.csv")]).noticed.longest.path == file


SWALLOWED = b"1,ada,ok\n" * 20


@pytest.mark.parametrize("slow", [b"", b'3,bo,o"k\n'], ids=["fast reader", "slow reader"])
@pytest.mark.parametrize(
    "rows",
    [b'1,mira,"hi\n' + SWALLOWED + b'2,bo,then"\n', b'1,"mira,hi\n' + SWALLOWED + b'2,bo",then\n'],
    ids=["in a text", "in another column"],
)
def test_read_messages_notices_rows_behind_a_quote_that_is_closed_late(
    rows: bytes, slow: bytes, tmp_path: Path
) -> None:
    file = write(tmp_path / "chat.csv", b"id,fromUser.id,text\n1,bo,ok\n" + rows + slow)
    (message,) = read_messages(file).noticed.swallowing
    assert (message.path, message.line, message.lines) == (file, 3, 22)
    assert message.warning == (
        f"{file}, line 3: one field of 22 lines, most of which look like rows; its quote may be closed too late."
    )


def test_read_messages_does_not_suspect_long_messages(tmp_path: Path) -> None:
    prose = "\n".join(f"line {i}, with a comma" if i % 3 else "and one without" for i in range(60))
    file = write(tmp_path / "chat.csv", HEADER + f'mira,"{prose}"\n'.encode())
    assert read_messages(file).noticed == Noticed(LongMessage(file, 2, 60, len(prose)))


CHUNKS = ["a", "b", ",", '"', '""', "\n", "\r", "\r\n", '"\n', ',"', "é", "\0", " "]


@pytest.mark.slow
@settings(max_examples=60)
@given(body=st.lists(st.sampled_from(CHUNKS), min_size=1, max_size=14).map("".join), columns=st.sampled_from([2, 3]))
@example(body='a,"' + "x" * 300 + '"\n', columns=2)
@example(body='a,"' + "é" * 33 + '"\n', columns=2)
def test_slow_reader_takes_what_the_fast_one_takes(folder: Path, body: str, columns: int) -> None:
    header = ",".join(["fromUser.id", "text", "sent"][:columns])
    file = write(folder / "chat.csv", f"{header}\n{body}".encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_lines, "LONGEST_FIELD", 64)
        (source,) = find_sources(file, CsvFormat())
        fast = csv_rows.survey(source, source) if source.plain else None
        slow = clean_copy(source, folder / "clean.csv", skip_bad_rows=True)
    if fast is None:
        return
    assert slow.bad_rows == []
    copy = Messages((slow.copy,), slow.rows, ())
    assert rows_of(copy) == rows_of(Messages((fast.source,), fast.rows, ()))
    assert (slow.rows, slow.repeated_headers, slow.noticed) == (fast.rows, fast.repeated_headers, fast.noticed)


@pytest.mark.parametrize("length", [64, 65])
@pytest.mark.parametrize("after", [b"", b"ada\n"], ids=["alone", "beside a bad row"])
def test_both_readers_have_one_rule_for_long_fields(
    length: int, after: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_lines, "LONGEST_FIELD", 64)
    file = write(tmp_path / "chat.csv", HEADER + b'mira,"' + b"x" * length + b'"\nada,ok\n' + after)
    read = read_messages(file, CsvFormat(skip_bad_rows=True))
    assert (("mira", "x" * length) in rows_of(read)) == (length == 64)
    too_long = BadRow(file, 2, "a field has more than 64 bytes, or its quote is not closed")
    assert (too_long in read.bad_rows) == (length == 65)


def test_read_messages_keeps_a_long_message_beside_a_bad_row(tmp_path: Path) -> None:
    text = "so long, " * 300_000  # 2.7 MB
    file = write(tmp_path / "chat.csv", HEADER + f'mira,"{text}"\nada\n'.encode())
    read = read_messages(file, CsvFormat(skip_bad_rows=True))
    assert rows_of(read) == [("mira", text)]
    assert [bad.line for bad in read.bad_rows] == [3]


def test_read_messages_judges_other_columns_the_same_on_both_roads(tmp_path: Path) -> None:
    file = tmp_path / "chat.csv"

    def outcome(content: bytes) -> Rows | str:
        try:
            return rows_of(read_messages(write(file, content)))
        except UserError as error:
            return str(error)

    content = b"fromUser.id,text,room\nmira,hi,caf\xe9\n"
    assert outcome(content) == outcome(content + b"\n\n")


@pytest.mark.slow
def test_read_messages_names_the_file_of_a_bad_row(tmp_path: Path) -> None:
    good = write(tmp_path / "a.csv", HEADER + b"mira,hi\n")
    bad = write(tmp_path / "b.csv", HEADER + b"mira,hi\nada\n")
    with pytest.raises(UserError) as error:
        read_messages([good, bad])
    assert str(error.value).startswith(f"{bad}, line 3: the row has 1 field where 2 are expected. ")
    worse = write(tmp_path / "c.csv", HEADER + b"ada\nmira,hi\n")
    read = read_messages([bad, good, worse], CsvFormat(skip_bad_rows=True))
    assert [(row.path, row.line) for row in read.bad_rows] == [(bad, 3), (worse, 2)]
    assert read.rows == 3


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gzip"])
def test_read_messages_refuses_a_file_without_rows(suffix: str, tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.csv{suffix}", HEADER) for name in ("chat", "talk")]
    with pytest.raises(UserError) as error:
        read_messages(files)
    assert str(error.value) == f"{', '.join(files)}: there is no readable row below the header."


def test_read_messages_refuses_a_file_of_bad_rows_only(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", HEADER + b"mira\nada\n")
    with pytest.raises(UserError) as error:
        read_messages(file, CsvFormat(skip_bad_rows=True))
    assert str(error.value) == f"{file}: there is no readable row below the header."


def test_read_messages_takes_a_file_without_rows_among_others(tmp_path: Path) -> None:
    empty, full = write(tmp_path / "a.csv", HEADER), write(tmp_path / "b.csv", HEADER + b"mira,hi\n")
    assert rows_of(read_messages([empty, full])) == [("mira", "hi")]


def compressed_chat(**options: int) -> bytes:
    """Gzip whose first row can be read even where its end is missing."""
    return gzip.compress(HEADER + b"".join(b"u%d,%d\n" % (i, i**9) for i in range(30_000)), **options)


@pytest.mark.parametrize("kept", [0.5, 0.9], ids=["half", "most"])
def test_read_messages_refuses_truncated_gzip(kept: float, tmp_path: Path) -> None:
    content = compressed_chat(compresslevel=1)
    (tmp_path / "chat.csv.gz").write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(UserError) as error:
        read_messages(str(tmp_path / "chat.csv.gz"))
    reason = "Compressed file ended before the end-of-stream marker was reached"
    remedy = "; it is cut short: copy it, or download it, anew"
    assert str(error.value) == f"{tmp_path}/chat.csv.gz cannot be read to its end: {reason}{remedy}."


def test_read_messages_refuses_gzip_without_its_check_sum(tmp_path: Path) -> None:
    (tmp_path / "chat.csv.gz").write_bytes(gzip.compress(HEADER + b"mira,hi\n")[:-8])
    with pytest.raises(UserError, match=r"chat\.csv\.gz cannot be read.* Compressed file ended before the end"):
        read_messages(str(tmp_path / "chat.csv.gz"))


def test_read_messages_refuses_gzip_that_is_damaged_inside(tmp_path: Path) -> None:
    content = bytearray(compressed_chat(compresslevel=1))
    content[len(content) // 2 : len(content) // 2 + 50] = b"\xff" * 50
    (tmp_path / "chat.csv.gz").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_messages(str(tmp_path / "chat.csv.gz"))
    assert str(error.value).startswith(f"{tmp_path}/chat.csv.gz cannot be read to its end: ")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["kept", "kept", "empty", "kept", "kept", "empty"]),
        ({"min_length": 0}, ["kept", "kept", "empty", "kept", "kept", "empty"]),
        ({"min_length": 3}, ["kept", "too short", "empty", "too short", "kept", "empty"]),
        ({"keep_users": ["a"]}, ["kept", "kept", "empty", "other user", "other user", "other user"]),
        ({"drop_users": ["b"]}, ["kept", "kept", "empty", "dropped user", "kept", "dropped user"]),
        ({"drop_users": "b"}, ["kept", "kept", "empty", "dropped user", "kept", "dropped user"]),
        (
            {"keep_users": ["a", "ж"], "drop_users": ["b", "x"], "min_length": 3},
            ["kept", "too short", "empty", "dropped user", "kept", "dropped user"],
        ),
    ],
    ids=["all", "length 0", "length 3", "kept user", "dropped user", "a lone name", "together"],
)
def test_judge_gives_the_first_reason_that_applies(options: dict, expected: list[str]) -> None:
    rows = [("a", "hey"), ("a", "ho"), ("a", ""), ("b", "😀é"), ("ж", "мир"), ("b", "")]
    users, texts = (tf.constant(list(column)) for column in zip(*rows))
    verdicts = judge(users, texts, **options)
    assert verdicts.dtype == tf.int32
    assert [VERDICTS[verdict] for verdict in verdicts.numpy()] == expected


@pytest.mark.slow
def test_read_messages_equals_pandas_on_the_real_chat(gitter_csv: str, gitter_table: pd.DataFrame) -> None:
    read = read_messages(gitter_csv)
    assert read.rows == 125_384
    # Compared by truth, so that a failure does not print the chat.
    wrong = [
        i
        for i, (row, expected) in enumerate(zip(rows_of(read), zip(gitter_table["fromUser.id"], gitter_table["text"])))
        if row != expected
    ]
    assert wrong == []
    assert len(gitter_table) == 125_384


def test_count_users_equals_pandas(sample_chat: str, sample_table: pd.DataFrame) -> None:
    assert count_users(read_messages(sample_chat)) == sample_table["fromUser.id"].value_counts().to_dict()
