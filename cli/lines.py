"""Reads texts that stand a line each, in a file or on standard input: prompts, held-out messages.

A line ends where editors end it, at a line feed with or without a carriage return: a message may hold the other
characters that Unicode calls line ends (U+0085, U+2028, form feed).
"""

import sys
from pathlib import Path

from charflow.pipeline.errors import UserError, not_utf8, reason


def read_lines(file: Path) -> list[str]:
    """Reads a file's lines.

    Raises:
        UserError: the file cannot be read, or is not UTF-8.
    """
    try:
        return lines_of(file.read_bytes().decode(errors="surrogateescape"), source=str(file))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {reason(error)}.") from error


def read_input_lines() -> list[str]:
    """Reads standard input to its end.

    Raises:
        UserError: it cannot be read, or is not text.
    """
    sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]  # the line is told below
    try:
        return lines_of(sys.stdin.read(), source="Standard input")
    except OSError as error:
        raise UserError(f"Standard input cannot be read: {reason(error)}.") from error


def lines_of(text: str, source: str) -> list[str]:
    r"""Splits text at its line ends, without the mark of UTF-8 that some editors put before it.

    >>> lines_of("a\x0cb\r\n\nc", "texts.txt")
    ['a\x0cb', '', 'c']
    """
    *lines, last = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    lines += [last] if last else []
    for number, line in enumerate(lines, 1):
        if near := not_utf8(line):
            raise UserError(f"{source}, line {number:,}: {near} is not UTF-8 text: save it as UTF-8.")
    return lines
