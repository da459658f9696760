"""Cuts the bytes of a CSV file into blocks that end where a row does, so that they can be looked at side by side.

`csv_rows` reads a file so, `csv_check` checks each block. In well-formed CSV, quotes come in pairs: a line break ends a
row where the quotes before it are even in number. Where a file is not well-formed, the blocks may be wrong, but then
the quotes of one of them are, too.
"""

from collections.abc import Iterator
from typing import Protocol

from charflow.pipeline.formats import csv_lines


class Reader(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes: ...


class LongRowError(ValueError):
    """A row has more bytes than a field may have."""


def row_blocks(stream: Reader, size: int) -> Iterator[bytes]:
    r"""Yields the bytes of a stream, a line break behind the last row included where it lacks one.

    Args:
        stream: of CSV in UTF-8, or any other encoding whose quotes and line breaks are those of ASCII.
        size: bytes that are read for a block, which is as much shorter as its last row is cut; a long row takes more.

    >>> list(row_blocks(io.BytesIO(b'a,"b\nc"\nd,e'), 9))
    [b'a,"b\nc"\n', b'd,e\n']

    Raises:
        LongRowError: a row has more than `LONGEST_FIELD` bytes, or its quote is not closed.
    """
    left = b""
    while read := stream.read(max(size, len(left))):  # so that a long row is not looked through again and again
        block = left + read
        end = _last_row_end(block)
        if end:
            yield block[:end]
        left = block[end:]
        if len(left) > max(csv_lines.LONGEST_FIELD, size):
            raise LongRowError
    if left:
        yield left if left.endswith((b"\n", b"\r")) else left + b"\n"


def _last_row_end(block: bytes) -> int:
    """Finds the end of the last row that is whole; 0 where none is."""
    return _last_break(block, b"\n", len(block)) or _last_break(block, b"\r", len(block) - 1)  # \n may follow the last


def _last_break(block: bytes, line_break: bytes, stop: int) -> int:
    """Says what follows the last such line break outside quotes; 0 where there is none."""
    quotes = block.count(b'"', 0, stop)
    while (found := block.rfind(line_break, 0, stop)) >= 0:
        quotes -= block.count(b'"', found, stop)
        if quotes % 2 == 0:
            return found + 1
        stop = found
    return 0
