"""Reads physical lines and rows of text files in any encoding, slowly, and says whether lines look like rows.

`csv_source` reads a header so, `csv_repair` whole files, and chat formats the lines of theirs.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from charflow.pipeline.formats.encodings import MARKING, is_utf8
from charflow.pipeline.formats.file_types import uncovered
from charflow.pipeline.formats.inputs import InputFile

DELIMITERS = (",", ";", "\t", "|")
LONGEST_FIELD = 1 << 26  # bytes as UTF-8; bounds how far an unclosed quote is followed, and the memory for that
_TAB_SUFFIXES = (".tsv", ".tab")
_EXCEL_HINT = re.compile('"?sep=(.)"?[\r\n]*', re.IGNORECASE)  # a first line that tells Excel the delimiter
_SHARE = 0.8  # of the lines have as many fields as the first


def lines_of(
    file: InputFile, layers: tuple[str, ...] = (), encoding: str = "utf-8", longest: int = -1
) -> Iterator[str]:
    """Yields the physical lines of a file with their line ends, without a byte order mark.

    Lines of more than `longest` characters come in pieces; -1 is no bound.

    Bytes that are not in the encoding become lone surrogates.
    """
    errors = "surrogateescape" if is_utf8(encoding) else MARKING
    with (
        uncovered(file, layers) as stream,
        io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="") as text,  # type: ignore[type-var]
    ):
        lines = text if longest < 0 else iter(lambda: text.readline(longest), "")
        yield from (line.removeprefix("\ufeff") for line in islice(lines, 1))
        yield from lines


def read_rows(
    lines: Iterator[str], delimiter: str, escape: str, skip_initial_space: bool, *, strict: bool
) -> Iterator[list[str]]:
    """Reads lines as CSV, with the standard library's reader."""
    csv.field_size_limit(LONGEST_FIELD)
    return csv.reader(
        _without_nulls(lines, delimiter, escape) if escape else lines,
        delimiter=delimiter,
        escapechar=escape or None,
        skipinitialspace=skip_initial_space,
        strict=strict,
    )


def _without_nulls(lines: Iterator[str], delimiter: str, escape: str) -> Iterator[str]:
    r"""Empties the fields that databases which write with escapes mean as missing: `\N`."""
    missing = re.compile(rf"(^|{re.escape(delimiter)}){re.escape(escape)}N(?={re.escape(delimiter)}|[\r\n]|$)")
    return (missing.sub(r"\1", line) for line in lines)


def excel_hint(first_line: str) -> str:
    """The delimiter that a first line `sep=;` tells Excel; empty where the line is none."""
    hint = _EXCEL_HINT.fullmatch(first_line)
    return hint[1] if hint else ""


def default_delimiter(name: str) -> str:
    """Guesses what stands between the fields of a file from its name."""
    return "\t" if name.endswith(_TAB_SUFFIXES) else ","


def is_table(lines: Sequence[str]) -> bool:
    """Says whether the first lines of a file look like rows: prose has commas too, but not as many in each line."""
    lines = [line.strip() for line in lines]
    for delimiter in DELIMITERS:
        try:
            fields = [len(row) for row in read_rows(iter(lines), delimiter, "", False, strict=False)]
        except csv.Error:
            return True
        is_header = fields[0] > 1 and (delimiter != "," or " " not in lines[0])
        if is_header or (len(fields) > 1 and fields[0] > 1 and fields.count(fields[0]) >= _SHARE * len(fields)):
            return True
    return False
