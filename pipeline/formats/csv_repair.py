"""Looks closely at CSV files that the fast reader refused: names the bad rows, or writes a clean copy.

`messages` calls it only after a failed read, so its pace (about 1 µs a byte) is paid once. Rows are those of the
standard library's csv module in strict mode; after a bad row, reading starts again on the next physical line,
so one unclosed quote costs one line and not the rest of the file.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from charflow.pipeline.errors import UserError, counted
from charflow.pipeline.formats import csv_lines
from charflow.pipeline.formats.clean_copy import CleanCopy
from charflow.pipeline.formats.csv_source import CsvSource
from charflow.pipeline.formats.encodings import is_utf8
from charflow.pipeline.formats.inputs import InputFile
from charflow.pipeline.formats.long_messages import FEWEST_BREAKS, LongMessages, Noticed
from charflow.pipeline.formats.names import Names

_UNDECODABLE = re.compile("[\udc80-\udcff]")  # how `lines_of` shows bytes that are not in the encoding


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read: its file, a physical line (from 1), and why.

    The line is where the row starts; for bytes that are not in the encoding, where they stand.
    """

    path: str
    line: int
    reason: str


class Damaged(Protocol):
    """What an error about rows must know of the file to find out how they can be read."""

    @property
    def file(self) -> InputFile: ...
    @property
    def layers(self) -> tuple[str, ...]: ...
    def lines(self) -> Iterator[str]: ...


class BadRowsError(UserError):
    """Some rows of a file cannot be read.

    Attributes:
        source: the file.
        bad: these rows.
        good: how many can be read.
        undecodable: how many of the bad ones have bytes that are not in the encoding.
    """

    def __init__(self, source: Damaged, bad: list[BadRow], good: int, undecodable: int) -> None:
        first = bad[0]
        more = f" It is the first of {len(bad):,} such rows." if len(bad) > 1 else ""
        super().__init__(f"{first.path}, line {first.line:,}: {first.reason}.{more}")
        self.source, self.bad, self.good, self.undecodable = source, bad, good, undecodable


@dataclass(frozen=True)
class _Row:
    line: int
    lines: int
    fields: list[str]


@dataclass(frozen=True)
class _Undecodable(BadRow):
    pass


@dataclass(frozen=True)
class Cleaned:
    """A clean copy, and what was left out of it.

    Attributes:
        copy: the good rows.
        rows: how many these are.
        bad_rows: those that cannot be read.
        repeated_headers: rows that are the header again.
        noticed: what was noticed about the messages.
        names: of the users.
    """

    copy: CsvSource
    rows: int
    bad_rows: list[BadRow]
    repeated_headers: int
    noticed: Noticed
    names: Names


def clean_copy(source: CsvSource, path: Path, *, skip_bad_rows: bool) -> Cleaned:
    """Writes the user and text columns of the good rows into a new file, fully quoted.

    Raises:
        BadRowsError: there are bad rows and `skip_bad_rows` is false; the message names the first.
    """
    bad: list[BadRow] = []
    good = repeated = 0
    long, names = LongMessages(source.name, source.delimiter, source.columns), Names()
    beside = source.name_indices
    with CleanCopy(source.name, path) as copy:
        for row in _rows(source):
            if isinstance(row, BadRow):
                bad.append(row)
            elif source.is_header(row.fields):
                repeated += 1
            else:
                user, text = row.fields[source.user_index], row.fields[source.text_index]
                copy.write(user, text)
                for index in beside:
                    names.add(user, row.fields[index])
                good += 1
                long.see(row.line, text)
                if row.lines > FEWEST_BREAKS:
                    long.look_into(row.line, row.fields)
    if bad and not skip_bad_rows:
        raise BadRowsError(source, bad, good, sum(isinstance(row, _Undecodable) for row in bad))
    bad = [BadRow(row.path, row.line, row.reason) for row in bad]
    return Cleaned(copy.source, good, bad, repeated, long.noticed(), names)


def _rows(source: CsvSource) -> Iterator[_Row | BadRow]:
    """Yields every data row of the file, checked; blank lines and then the header are passed over."""
    before_header = source.header
    for row in _records(source):
        if isinstance(row, _Row) and not row.fields:
            continue
        if before_header:
            before_header = False
            continue
        if isinstance(row, _Row) and len(row.fields) != source.columns:
            found = counted(len(row.fields), "field")
            yield BadRow(source.name, row.line, f"the row has {found} where {source.columns} are expected")
        elif isinstance(row, _Row) and any(_is_too_long(field) for field in row.fields):
            yield BadRow(source.name, row.line, _too_long())
        else:
            yield row


def _records(source: CsvSource) -> Iterator[_Row | BadRow]:
    lines = source.lines()
    waiting: deque[str] = deque()  # lines to be read again after a bad row
    line = 1 + source.skip_lines
    while True:
        taken: list[str] = []
        try:
            fields = next(source.rows_of(_take(waiting, lines, taken), strict=True))
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(source.name, line, _explain(error))
            waiting.extendleft(reversed(taken[1:]))
            line += 1
            continue
        undecodable = next((i for i, text in enumerate(taken) if _UNDECODABLE.search(text)), None)
        if undecodable is None:
            yield _Row(line, len(taken), fields)
        else:
            encoding = "UTF-8" if is_utf8(source.encoding) else source.encoding
            yield _Undecodable(source.name, line + undecodable, f"the row has bytes that are not {encoding}")
        line += len(taken)


def _take(waiting: deque[str], lines: Iterator[str], taken: list[str]) -> Iterator[str]:
    while True:
        try:
            line = waiting.popleft() if waiting else next(lines)
        except StopIteration:
            return
        taken.append(line)
        yield line


def _explain(error: csv.Error) -> str:
    text = str(error)
    if "field larger" in text:
        return _too_long()
    if "unexpected end of data" in text or "expected after" in text:
        return "a quote opens here and is not closed properly"
    return f"the row is not CSV ({text})"


def _too_long() -> str:
    return f"a field has more than {csv_lines.LONGEST_FIELD:,} bytes, or its quote is not closed"


def _is_too_long(field: str) -> bool:
    limit = csv_lines.LONGEST_FIELD
    return len(field) * 4 > limit and len(field.encode()) > limit
