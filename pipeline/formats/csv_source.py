"""Finds the two columns of a CSV file that matter: who wrote, and what.

`inputs` found the files, `file_types` uncovers their bytes; `messages` reads what this module found, `csv_repair` looks
closer when that fails, and `csv_advice` says with which other `CsvFormat` a file can be read.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from charflow.pipeline.errors import UserError, counted, quoted, quoted_list, reason
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.csv_lines import default_delimiter, excel_hint, is_table, lines_of, read_rows
from charflow.pipeline.formats.encodings import UTF_8_MARK, guess_wide, is_utf8, marked_encoding
from charflow.pipeline.formats.file_types import UNREADABLE, Recognised, recognise, text_type
from charflow.pipeline.formats.inputs import InputFile, find_inputs
from charflow.pipeline.formats.json_values import first_record, flat
from charflow.pipeline.formats.known import titles
from charflow.pipeline.formats.long_messages import LINE_BREAK
from charflow.pipeline.formats.usual_columns import names_beside
from charflow.pipeline.settings import Paths
from charflow.sentences import Sentence

_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f]")
_LINES = 20  # that tell whether a file looks like rows
_SHOWN = 20  # characters of what is no text


@dataclass(frozen=True, kw_only=True)
class CsvSource:
    """One file, how it is written, and where its user and text columns stand among its columns.

    Attributes:
        file: what is read.
        layers: the compressions over it.
        encoding: of its characters.
        delimiter: between fields.
        escape: the escaping character, or empty.
        skip_initial_space: whether blanks after a delimiter count for nothing.
        skip_lines: lines before the header that are no rows.
        names: the fields of its first row.
        header: whether these are names.
        user_index: where the user id stands.
        text_index: where the message stands.
        plain: whether its rows, once they are UTF-8, can be tried with CsvDataset. Not so where the file starts with a
            blank line, or with a byte order mark and no header, or the delimiter is not ASCII, or rows are written in
            a way that CsvDataset does not know.
        repeats_header: whether rows that are the header again are to be left out.
    """

    file: InputFile
    layers: tuple[str, ...] = ()
    encoding: str = "utf-8"
    delimiter: str
    escape: str = ""
    skip_initial_space: bool = False
    skip_lines: int = 0
    names: tuple[str, ...]
    header: bool
    user_index: int
    text_index: int
    plain: bool
    repeats_header: bool = False

    @property
    def name(self) -> str:
        """What messages call the file."""
        return self.file.name

    @property
    def columns(self) -> int:
        """How many fields a row has."""
        return len(self.names)

    @property
    def name_indices(self) -> tuple[int, ...]:
        """Where names of the users stand, beside their ids."""
        if not self.header:
            return ()
        beside = names_beside(self.names[self.user_index], self.names)
        return tuple(self.names.index(name) for name in beside if name != self.names[self.text_index])

    @property
    def first_line(self) -> int:
        """The physical line, from 1, on which the first row below the header starts, if no blank line comes before."""
        header = 1 + sum(len(LINE_BREAK.findall(name)) for name in self.names) if self.header else 0
        return 1 + self.skip_lines + header

    def is_header(self, fields: Sequence[str]) -> bool:
        """Says whether a row is the header again, as where files were joined by `cat`, each perhaps with its mark."""
        if not self.header or len(fields) != len(self.names):
            return False
        first = fields[0]
        if first.startswith("\ufeff"):
            first = first.removeprefix("\ufeff").strip('"')  # a quote after the mark is one inside a field
        return first == self.names[0] and tuple(fields[1:]) == self.names[1:]

    def lines(self) -> Iterator[str]:
        """Yields the physical lines from the header on, with their line ends; see `lines_of`."""
        return islice(lines_of(self.file, self.layers, self.encoding), self.skip_lines, None)

    def rows_of(self, lines: Iterator[str], *, strict: bool) -> Iterator[list[str]]:
        """Reads lines as CSV; strict reading refuses what stands between a closing quote and a delimiter.

        Raises:
            csv.Error: the lines are not CSV.
        """
        return read_rows(lines, self.delimiter, self.escape, self.skip_initial_space, strict=strict)


class LayoutError(UserError):
    """The first row of a file does not have the columns that are wanted.

    Attributes:
        file: that was read.
        found: what the file is.
        vague_advice: what to do where no options are found with which it can be read.
    """

    def __init__(self, message: str, file: InputFile, found: Recognised, *, advice: str | Sentence = "") -> None:
        super().__init__(message)
        self.vague_advice = advice
        self.file, self.found = file, found


def find_sources(paths: Paths, csv_format: CsvFormat) -> tuple[CsvSource, ...]:
    """Resolves files and globs, in the order given (a glob's matches sorted), to readable sources.

    Raises:
        UserError: no such file, a glob without a match, an empty file, or a missing column.
    """
    return tuple(open_source(file, csv_format) for file in find_inputs(paths))


def open_source(file: InputFile, csv_format: CsvFormat, found: Recognised | None = None) -> CsvSource:
    """Reads the first row of a file, which `recognise` perhaps found something in, and finds the columns in it.

    Raises:
        LayoutError: a column is missing.
        UserError: the file is empty, cannot be read, or is no CSV file.
    """
    found = found or recognise(file)
    encoding = csv_format.encoding
    if is_utf8(encoding):
        encoding = marked_encoding(found.head) or "utf-8"
    try:
        first_line = next(lines_of(file, found.layers, encoding), "")
        hint = excel_hint(first_line)
        delimiter = csv_format.delimiter or hint or default_delimiter(found.inner_name)
        lines = islice(lines_of(file, found.layers, encoding), 1 if hint else 0, None)
        names = _first_row(file, lines, delimiter, csv_format)
    except UNREADABLE as error:
        raise UserError(f"{file.name} cannot be read: {reason(error)}.") from error
    user_index, text_index = _column_indices(file, found, names, csv_format)
    marked = found.head.startswith(UTF_8_MARK)
    return CsvSource(
        file=file,
        layers=found.layers,
        encoding=encoding,
        delimiter=delimiter,
        escape=csv_format.escape,
        skip_initial_space=csv_format.skip_initial_space,
        skip_lines=1 if hint else 0,
        names=tuple(names),
        header=csv_format.header,
        user_index=user_index,
        text_index=text_index,
        plain=not (
            hint
            or csv_format.escape
            or csv_format.skip_initial_space
            or not delimiter.isascii()
            or not first_line.strip("\r\n")
            or (marked and not csv_format.header)
        ),
    )


def _first_row(file: InputFile, lines: Iterator[str], delimiter: str, csv_format: CsvFormat) -> list[str]:
    rows = read_rows(lines, delimiter, csv_format.escape, csv_format.skip_initial_space, strict=False)
    try:
        row = next((row for row in rows if row), None)
    except csv.Error as error:
        raise UserError(f"{file.name}: the first row cannot be read as CSV ({error}).") from error
    if row is None:
        raise UserError(f"{file.name} is empty: it has no header and no rows.")
    return row


def _column_indices(file: InputFile, found: Recognised, names: list[str], csv_format: CsvFormat) -> tuple[int, int]:
    columns = (csv_format.user_column, csv_format.text_column)
    if csv_format.header:
        missing = [column for column in columns if column not in names]
    else:
        missing = [column for column in columns if int(column) >= len(names)]
    if missing:
        raise _layout_error(file, found, names, missing, csv_format)
    if csv_format.header:
        return names.index(columns[0]), names.index(columns[1])
    return int(columns[0]), int(columns[1])


def _layout_error(
    file: InputFile, found: Recognised, names: list[str], missing: list[str], csv_format: CsvFormat
) -> LayoutError:
    if csv_format.format == "auto" and not (csv_format.names_rows or _may_be_table(found)):
        return _unknown(file, found, csv_format.encoding)
    if other := text_type(found.head):
        return LayoutError(f"{file.name} is {other[0]}, not CSV: {other[1]}.", file, found)
    unmarked = is_utf8(csv_format.encoding) and not marked_encoding(found.head)
    if unmarked and (wide := guess_wide(found.head)):
        return LayoutError(f"{file.name} is {wide.upper()} without a byte order mark, not UTF-8.", file, found)
    if any(_CONTROLS.search(name) for name in names):
        begins = quoted(names[0][:_SHOWN])
        return LayoutError(f"{file.name} is no text: it begins with {begins}.", file, found, advice="Name a CSV file.")
    if len(names) == 1:
        begins = quoted(names[0])
        return LayoutError(
            f"{file.name}: its first row is one field, {begins}, where a column of users and one of messages are "
            "needed.",
            file,
            found,
            advice="Write a text without columns as CSV, such as a row for each of its paragraphs.",
        )
    if not csv_format.header:
        found_columns = counted(len(names), "column")
        return LayoutError(
            f"{file.name}: no column {missing[0]}: its rows have {found_columns}, counted from 0.",
            file,
            found,
            advice=Sentence("Pass {user_column} and {text_column} with positions that there are."),
        )
    wanted = " and ".join(map(quoted, missing))
    return LayoutError(
        f"{file.name}: no {'columns' if len(missing) > 1 else 'column'} {wanted}. Columns are: {quoted_list(names)}.",
        file,
        found,
        advice=Sentence(
            "Pass {user_column} and {text_column} with two of them, or {headless} with their positions from 0.",
            headless={"header": False},
        ),
    )


def _may_be_table(found: Recognised) -> bool:
    if text_type(found.head):
        return False
    encoding = marked_encoding(found.head) or guess_wide(found.head) or "utf-8"
    return _CONTROLS.search(found.text(encoding)) is not None or is_table(found.lines(encoding)[:_LINES])


def _unknown(file: InputFile, found: Recognised, encoding: str) -> LayoutError:
    what, advice = text_type(found.head) or ("", "write its messages to a CSV file")
    encoding = marked_encoding(found.head) or encoding
    text = found.text(encoding)
    names = list(flat(first_record(text))) if text.lstrip()[:1] == "[" or what == "JSON Lines" else []
    fields = Sentence("Pass {user_column} and {text_column} with two of its fields, {of}.", of=quoted_list(names))
    return LayoutError(
        f"{file.name} is {f'{what}, but ' if what else ''}in no format that charflow reads ({titles()}): its first "
        f"line is {quoted(found.first_line(encoding))}.",
        file,
        found,
        advice=fields if len(names) > 1 else f"{advice[0].upper()}{advice[1:]}.",
    )
