"""Finds CSV files and the two columns that matter in each: who wrote, and what.

The first step of the flow: `messages` reads what this module found; `csv_repair` looks closer when a read fails.
Paths go through `tf.io.gfile`, so remote file systems that TensorFlow knows work like local ones.
"""

import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any

import tensorflow as tf

from charflow.pipeline.bounds import shown
from charflow.pipeline.errors import SettingError, UserError, reason
from charflow.pipeline.settings import Paths, check, checked

_TAB_SUFFIXES = (".tsv", ".tab")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UNREADABLE = (OSError, EOFError, zlib.error, tf.errors.OpError)
_GZIP_BLOCK = 1 << 20  # bytes
LONGEST_FIELD = 1 << 20  # characters; also bounds how far an unclosed quote is followed


@dataclass(frozen=True, kw_only=True)
class CsvFormat:
    """How the rows of the files are written.

    Attributes:
        user_column: name of the column that holds the user id; without a header its position, counted from 0.
        text_column: the same for the message.
        delimiter: one character; empty picks a tab for `.tsv` and `.tab` files and a comma for all others.
        header: whether the first row names the columns.
        skip_bad_rows: leave out, count and report the rows that cannot be read, instead of refusing the file.
    """

    user_column: str = "fromUser.id"
    text_column: str = "text"
    delimiter: str = ""
    header: bool = True
    skip_bad_rows: bool = False

    def __post_init__(self) -> None:
        check(self)
        if self.delimiter and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise SettingError(
                "{delimiter} must be one character other than a quote or a line break, not {found}.",
                found=shown(self.delimiter),
            )
        columns = (self.user_column, self.text_column)
        if not self.header and not all(column.isdecimal() for column in columns):
            raise SettingError(
                "Without a header, columns are given by position from 0, such as 1 for {user_column} and 5 for "
                "{text_column}."
            )
        if len(set(columns if self.header else map(int, columns))) == 1:
            raise SettingError("{user_column} and {text_column} cannot both be {found}.", found=shown(self.user_column))


@dataclass(frozen=True, kw_only=True)
class CsvSource:
    """One file, its delimiter, and where its user and text columns stand among its `columns` columns.

    `plain` is false where CsvDataset cannot read the file: it starts with a blank line, or with a byte order mark and
    no header, or the delimiter is not ASCII.
    """

    path: str
    delimiter: str
    header: bool
    columns: int
    user_index: int
    text_index: int
    plain: bool

    @property
    def compressed(self) -> bool:
        """Whether the file is read through gzip."""
        return self.path.endswith(".gz")


def find_sources(paths: Paths, csv_format: CsvFormat) -> tuple[CsvSource, ...]:
    """Resolves files and globs, in the order given (a glob's matches sorted), to readable sources.

    Raises:
        UserError: no such file, a glob without a match, an empty file, or a missing column.
    """
    return tuple(_open_source(file, csv_format) for file in expand_paths(paths))


@checked
def expand_paths(paths: Paths) -> list[str]:
    """Lists the files that paths and globs name, in the order given.

    Raises:
        UserError: nothing was given, a file is missing, a folder was named, or a glob matches nothing.
    """
    patterns = [paths] if isinstance(paths, str | PathLike) else list(paths)
    if not patterns:
        raise UserError("No CSV file was given.")
    return [file for pattern in patterns for file in _expand(str(pattern))]


def lines_of(path: str) -> Iterator[str]:
    """Yields the physical lines with their line ends, without a byte order mark.

    Bytes that are not UTF-8 become lone surrogates.
    """
    with (
        _opened(path) as stream,
        io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        yield from text


def check_gzip(path: str) -> None:
    """Reads a compressed file to its end; CsvDataset would take the end of a truncated one for the end of the data.

    Raises:
        UserError: the file is damaged or cut short.
    """
    try:
        with _opened(path) as stream:
            while stream.read(_GZIP_BLOCK):
                pass
    except _UNREADABLE as error:
        raise UserError(f"{path} cannot be read to its end: {reason(error)}.") from error


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    with tf.io.gfile.GFile(path, "rb") as file:
        stream = io.BufferedReader(_GFileStream(file))
        yield gzip.GzipFile(fileobj=stream) if path.endswith(".gz") else stream


class _GFileStream(io.RawIOBase):
    """Lets the io module read a GFile, which lacks `readinto`."""

    def __init__(self, file: tf.io.gfile.GFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _expand(pattern: str) -> list[str]:
    if tf.io.gfile.exists(pattern):
        if tf.io.gfile.isdir(pattern):
            from charflow.pipeline.prepared import PreparedCorpus  # which reads CSV files through this module

            if PreparedCorpus.is_at(pattern):
                raise UserError(f"{pattern} was written by charflow prepare: only charflow train reads such a folder.")
            raise UserError(f"{pattern} is a folder: name its CSV files, or a glob in quotes: '{pattern}/*.csv'.")
        return [pattern]
    if any(mark in pattern for mark in "*?["):
        if matches := sorted(tf.io.gfile.glob(pattern)):
            return matches
        raise UserError(f"{pattern}: no file matches.")
    raise UserError(f"{pattern}: no such file.")


def _open_source(path: str, csv_format: CsvFormat) -> CsvSource:
    stem = path.removesuffix(".gz")
    delimiter = csv_format.delimiter or ("\t" if stem.endswith(_TAB_SUFFIXES) else ",")
    names = _first_row(path, delimiter)
    indices = (
        [
            _named_column(path, names, csv_format.user_column, "user"),
            _named_column(path, names, csv_format.text_column, "text"),
        ]
        if csv_format.header
        else [_numbered_column(path, names, column) for column in (csv_format.user_column, csv_format.text_column)]
    )
    return CsvSource(
        path=path,
        delimiter=delimiter,
        header=csv_format.header,
        columns=len(names),
        user_index=indices[0],
        text_index=indices[1],
        plain=delimiter.isascii() and _is_plain(path, csv_format.header),
    )


def _first_row(path: str, delimiter: str) -> list[str]:
    csv.field_size_limit(LONGEST_FIELD)
    lines = lines_of(path)
    try:
        row = next((row for row in csv.reader(lines, delimiter=delimiter) if row), None)
    except _UNREADABLE as error:
        raise UserError(f"{path} cannot be read: {reason(error)}.") from error
    except csv.Error as error:
        raise UserError(f"{path}: the first row cannot be read as CSV ({error}).") from error
    if row is None:
        raise UserError(f"{path} is empty: it has no header and no rows.")
    if row[0].encode(errors="surrogateescape").startswith(_UTF16_MARKS):
        raise UserError(f"{path} is UTF-16, not UTF-8: save it again as UTF-8 (iconv -f utf-16 -t utf-8).")
    return row


def _is_plain(path: str, header: bool) -> bool:
    with _opened(path) as stream:
        marked = stream.read(len(_BYTE_ORDER_MARK)) == _BYTE_ORDER_MARK
    return bool(next(lines_of(path)).strip("\r\n")) and (header or not marked)


def _named_column(path: str, names: Sequence[str], wanted: str, role: str) -> int:
    if wanted not in names:
        shown = ", ".join(_shown(name) for name in names)
        closest = difflib.get_close_matches(wanted, [name for name in names if name], n=1, cutoff=0.4)
        raise UserError(
            f"{path}: no column {wanted!r}. Columns are: {shown}."
            f" Pass --{role}-column {_shown(closest[0]) if closest else 'NAME'}."
        )
    return list(names).index(wanted)


def _shown(name: str) -> str:
    return (name if name.isprintable() else repr(name)) or "(unnamed)"


def _numbered_column(path: str, first_row: Sequence[str], column: str) -> int:
    if int(column) >= len(first_row):
        raise UserError(f"{path}: no column {column}: its rows have {len(first_row)} columns, counted from 0.")
    return int(column)
