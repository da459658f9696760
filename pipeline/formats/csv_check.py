"""Checks blocks of CSV as strictly as CsvDataset reads them, with NumPy: all rows of a block at once.

`csv_blocks` cut the file, `csv_rows` sums up what is found. N is the number of bytes in a block, M that of its marks
(quotes, delimiters and line breaks, CRLF being one), B that of rows, C that of columns.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from charflow.pipeline.formats import csv_lines
from charflow.pipeline.formats.csv_source import CsvSource
from charflow.pipeline.formats.long_messages import FEWEST_BREAKS

_QUOTE, _LINE_FEED, _RETURN = b'"\n\r'
_CONTINUES = -64  # a byte of UTF-8 below this, as a signed number, begins no character
_MOST_BYTES = 4  # of a character
_MARK = "\ufeff"


class Field(NamedTuple):
    """A field, and how many lines of the block are above its row."""

    above: int
    text: str


@dataclass(frozen=True)
class Checked:
    """What a block without a bad row has; the header at the beginning of a file does not count.

    Attributes:
        rows: how many, those that are the header again among them.
        headers: rows that are the header again.
        lines: how many.
        longest: the first of the longest messages; None where there is no message.
        suspects: the fields of many lines, in order.
    """

    rows: int
    headers: int
    lines: int
    longest: Field | None
    suspects: list[Field]


class _Fields(NamedTuple):
    """Where the fields of a block are, and what is in them.

    Attributes:
        starts: of each, int64 [B, C].
        ends: the mark behind each, int64 [B, C].
        quotes: those in each and around it, int64 [B, C].
        breaks: line breaks in each, int64 [B, C].
        above: lines above each row, and above what follows the last, int64 [B + 1].
    """

    starts: np.ndarray
    ends: np.ndarray
    quotes: np.ndarray
    breaks: np.ndarray
    above: np.ndarray

    def sizes(self) -> np.ndarray:
        """Bytes of what is meant, int64 [B, C]: the two quotes around a field are none, two inside of it are one."""
        return self.ends - self.starts - (self.quotes > 0) * (self.quotes // 2 + 1)

    def without_first(self) -> "_Fields":
        """Leaves out the first row, and its lines."""
        starts, ends, quotes, breaks, above = (each[1:] for each in self)
        return _Fields(starts, ends, quotes, breaks, above - above[0])

    def text(self, block: bytes, row: int, column: int) -> str:
        """Reads a field."""
        field = block[self.starts[row, column] : self.ends[row, column]]
        return (field[1:-1].replace(b'""', b'"') if self.quotes[row, column] else field).decode()


def check_block(block: bytes, source: CsvSource, *, has_header: bool) -> Checked | None:
    """Checks field count and length, quotes and UTF-8; None if any row is bad.

    Args:
        block: whole rows, each with its line break, UTF-8.
        source: how they are written.
        has_header: whether the first of them is the header.
    """
    data = np.frombuffer(block, np.uint8)
    fields = _fields_of(data, ord(source.delimiter), source.columns)
    if fields and has_header:
        fields = fields.without_first()
    if fields is None or not _is_utf8(block, fields) or _longest_field(fields) > csv_lines.LONGEST_FIELD:
        return None
    headers = _repeated_headers(block, fields, source)
    longest = _longest_message(data, fields, source.text_index, headers)
    return Checked(
        rows=len(fields.starts),
        headers=len(headers),
        lines=int(fields.above[-1]),
        longest=None if longest is None else _field(block, fields, longest, source.text_index),
        suspects=[_field(block, fields, *place) for place in np.argwhere(fields.breaks >= FEWEST_BREAKS).tolist()],
    )


def _fields_of(data: np.ndarray, delimiter: int, columns: int) -> _Fields | None:
    """Finds the fields of a block, uint8 [N], that ends with a line break; None if it is no CSV of so many columns."""
    marks = np.flatnonzero((data == _QUOTE) | (data == delimiter) | (data == _LINE_FEED) | (data == _RETURN))  # [M]
    kinds = data[marks]
    if not _are_paired(marks, kinds == _QUOTE):
        return None
    second = (kinds[1:] == _LINE_FEED) & (kinds[:-1] == _RETURN) & (np.diff(marks) == 1)  # of CRLF
    is_wide = np.append(second, False)
    if second.any():
        first = np.concatenate([[True], ~second])
        marks, kinds, is_wide = marks[first], kinds[first], is_wide[first]
    is_break = (kinds == _LINE_FEED) | (kinds == _RETURN)
    quotes, breaks = np.cumsum(kinds == _QUOTE), np.cumsum(is_break)  # up to each mark, it included
    is_end = (kinds != _QUOTE) & (quotes % 2 == 0)
    ends, last = marks[is_end], is_break[is_end]
    if len(ends) % columns or (last != (np.arange(len(ends)) % columns == columns - 1)).any():
        return None
    quotes, breaks = quotes[is_end], breaks[is_end]
    return _Fields(
        np.concatenate([[0], (ends + is_wide[is_end] + 1)[:-1]]).reshape(-1, columns),
        ends.reshape(-1, columns),
        np.diff(quotes, prepend=0).reshape(-1, columns),
        (np.diff(breaks, prepend=0) - last).reshape(-1, columns),
        np.concatenate([[0], breaks[columns - 1 :: columns]]),
    )


def _are_paired(marks: np.ndarray, is_quote: np.ndarray) -> bool:
    """Says whether a mark stands before each quote that opens and behind each that closes, which of `""` both do.

    Args:
        marks: places, [M], the last of a line break.
        is_quote: bool [M].
    """
    places = np.flatnonzero(is_quote)
    before = np.diff(marks, prepend=-1) == 1  # whether the byte before each is a mark, too
    return len(places) % 2 == 0 and bool(before[places[::2]].all() and before[places[1::2] + 1].all())


def _is_utf8(block: bytes, fields: _Fields) -> bool:
    try:
        return block.isascii() or not len(fields.starts) or bool(block[fields.starts[0, 0] :].decode())
    except UnicodeDecodeError:
        return False


def _longest_field(fields: _Fields) -> int:
    """Bytes of the longest field, or so many of another that none can be too long."""
    most = int((fields.ends - fields.starts).max(initial=0))
    return most if most <= csv_lines.LONGEST_FIELD else int(fields.sizes().max())


def _repeated_headers(block: bytes, fields: _Fields, source: CsvSource) -> list[int]:
    """Finds the rows that are the header again, perhaps behind a byte order mark."""
    if not source.header:
        return []
    first, *others = (len(name.encode(errors="surrogateescape")) for name in source.names)
    sizes = fields.sizes()
    alike = (sizes[:, 1:] == others).all(axis=1) & np.isin(sizes[:, 0], [first, first + len(_MARK.encode())])

    def is_header(row: int) -> bool:
        start, *rest = (fields.text(block, row, column) for column in range(source.columns))
        return start in (source.names[0], _MARK + source.names[0]) and tuple(rest) == source.names[1:]

    return [row for row in np.flatnonzero(alike).tolist() if is_header(row)]


def _longest_message(data: np.ndarray, fields: _Fields, column: int, headers: list[int]) -> int | None:
    """Finds the row of the first message that no other has more characters than; None where there is none."""
    sizes = fields.sizes()[:, column]
    sizes[headers] = -1
    most = sizes.max(initial=-1)
    if most < 0:
        return None
    rows = np.flatnonzero(sizes * _MOST_BYTES >= most)  # no other can have as many characters
    inside = np.flatnonzero(data.view(np.int8) < _CONTINUES)
    bounds = fields.starts[rows, column], fields.ends[rows, column]
    start, end = (np.searchsorted(inside, bound) for bound in bounds)
    return int(rows[np.argmax(sizes[rows] - (end - start))])


def _field(block: bytes, fields: _Fields, row: int, column: int) -> Field:
    return Field(int(fields.above[row]), fields.text(block, row, column))
