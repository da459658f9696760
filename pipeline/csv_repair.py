"""Looks closely at CSV files that the fast reader refused: names the bad rows, or writes a clean copy.

`messages` calls it only after a failed read, so its pace (about 1 µs a byte) is paid once. Rows are those of the
standard library's csv module in strict mode; after a bad row, reading starts again on the next physical line,
so one unclosed quote costs one line and not the rest of the file.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from charflow.pipeline.csv_source import LONGEST_FIELD, CsvSource, lines_of
from charflow.pipeline.errors import UserError

_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # how `surrogateescape` shows undecodable bytes


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read: its file, a physical line (from 1), and why.

    The line is where the row starts; for bytes that are not UTF-8, where they stand.
    """

    path: str
    line: int
    reason: str


@dataclass(frozen=True)
class _Row:
    line: int
    fields: list[str]


def clean_copy(source: CsvSource, folder: Path, *, skip_bad_rows: bool) -> tuple[CsvSource, list[BadRow]]:
    """Writes the user and text columns of the good rows into `folder`, fully quoted.

    Returns:
        The copy as a source, and the rows that were left out.

    Raises:
        UserError: there are bad rows and `skip_bad_rows` is false; the message names the first.
    """
    copy = folder / f"{len(list(folder.iterdir()))}.csv"
    bad: list[BadRow] = []
    with copy.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for row in _rows(source):
            if isinstance(row, BadRow):
                bad.append(row)
            else:
                writer.writerow((row.fields[source.user_index], row.fields[source.text_index]))
    if bad and not skip_bad_rows:
        first = bad[0]
        more = f" It is the first of {len(bad):,} such rows." if len(bad) > 1 else ""
        raise UserError(
            f"{first.path}, line {first.line:,}: {first.reason}.{more}"
            f" Pass --skip-bad-rows to leave {'them' if more else 'it'} out."
        )
    written = replace(
        source, path=str(copy), delimiter=",", header=False, columns=2, user_index=0, text_index=1, plain=True
    )
    return written, bad


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
            found = f"{len(row.fields)} field{'s' if len(row.fields) > 1 else ''}"
            yield BadRow(source.path, row.line, f"the row has {found} where {source.columns} are expected")
        else:
            yield row


def _records(source: CsvSource) -> Iterator[_Row | BadRow]:
    csv.field_size_limit(LONGEST_FIELD)
    lines = lines_of(source.path)
    waiting: deque[str] = deque()  # lines to be read again after a bad row
    line = 1
    while True:
        taken: list[str] = []
        try:
            fields = next(csv.reader(_take(waiting, lines, taken), delimiter=source.delimiter, strict=True))
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(source.path, line, _explain(error))
            waiting.extendleft(reversed(taken[1:]))
            line += 1
            continue
        undecodable = next((i for i, text in enumerate(taken) if _NOT_UTF8.search(text)), None)
        if undecodable is None:
            yield _Row(line, fields)
        else:
            yield BadRow(source.path, line + undecodable, "the row has bytes that are not UTF-8")
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
    if "unexpected end of data" in text or "expected after" in text or "field larger" in text:
        return "a quote opens here and is not closed properly"
    return f"the row is not CSV ({text})"
