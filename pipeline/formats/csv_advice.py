"""Finds settings of `CsvFormat` with which a file that was refused can be read, by trying them.

`messages` asks after a failed read. Each step changes what the failure points at, and the file is read again; only
what ended in a file that can be read is put into words.
"""

import csv
import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, product
from typing import Any

from charflow.pipeline.errors import UserError, quoted, quoted_list
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.csv_lines import DELIMITERS, default_delimiter, excel_hint, lines_of, read_rows
from charflow.pipeline.formats.csv_repair import BadRowsError
from charflow.pipeline.formats.csv_source import LayoutError
from charflow.pipeline.formats.encodings import guess_encoding, guess_wide, is_utf8, marked_encoding
from charflow.pipeline.formats.file_types import recognise, uncovered
from charflow.pipeline.formats.inputs import InputFile
from charflow.pipeline.formats.usual_columns import plain, usual
from charflow.pipeline.sentences import Sentence

Read = Callable[[InputFile, CsvFormat], object]
Changes = dict[str, Any]

_BACKSLASH = "\\"
_SAMPLE = 1 << 18  # bytes of lines beyond ASCII that an encoding is guessed from
_MOST_LINES = 1 << 20  # read for that sample, or to see how quotes are written
_LONGEST_NAME = 80  # characters of a column's name that is worth typing
_MOST_NAMES = 1000  # of columns that are compared with the wanted one
_MOST_STEPS = 5
_MOST_OTHERS = 16  # files that are read once more


def advice_for(
    failure: UserError, file: InputFile, csv_format: CsvFormat, read: Read, others: Sequence[InputFile] = ()
) -> tuple[str | Sentence, ...]:
    """Says with which settings the file can be read, where some were found.

    Args:
        failure: what `read(file, csv_format)` raised.
        read: reads a file to its end, or raises.
        others: files that are read with the same options.
    """
    changes, shown = _working(failure, file, csv_format, read)
    if changes and (other := _spoiled(changes, others, csv_format, read)):
        return (
            Sentence(
                "It can be read with {changes}, but not {other} with it: write the files alike, or name those that are "
                "alike.",
                changes=changes,
                other=other.name,
            ),
        )
    advice: list[str | Sentence] = []
    if changes and set(changes) != {"skip_bad_rows"}:
        advice.append(Sentence("Pass {changes}{shown}.", changes=changes, shown=shown))
    if isinstance(failure, BadRowsError) and failure.good:
        what = "them" if len(failure.bad) > 1 else "it"
        begins = "Or pass" if advice else "Pass"
        advice.append(Sentence(f"{begins} {{skipping}} to leave {what} out.", skipping={"skip_bad_rows": True}))
    if isinstance(failure, LayoutError) and failure.vague_advice and not advice:
        advice.append(_split_otherwise(failure, csv_format) or failure.vague_advice)
    return tuple(advice)


def _working(failure: UserError, file: InputFile, csv_format: CsvFormat, read: Read) -> tuple[Changes, str]:
    """Tries step after step; returns what made the file readable, and how it then reads."""
    changes: Changes = {}
    tried: set[str] = set()
    shown = ""
    for _ in range(_MOST_STEPS):
        step, example = _step(failure, file, replace(csv_format, **changes), tried)
        if not step:
            return {}, ""
        tried |= set(step)
        try:
            read(file, replace(csv_format, **changes, **step))
            return {**changes, **step}, shown + example
        except UserError as error:
            if _is_better(error, failure):
                changes, failure, shown = {**changes, **step}, error, shown + example
    return {}, ""


def _spoiled(changes: Changes, others: Sequence[InputFile], csv_format: CsvFormat, read: Read) -> InputFile | None:
    """The first file that can be read as things are, and with the changes no longer, or as another text."""
    for other in others[:_MOST_OTHERS]:
        try:
            read(other, csv_format)
        except UserError:
            continue  # it has advice of its own
        try:
            read(other, replace(csv_format, **changes))
        except UserError:
            return other
        if "encoding" in changes and not _is_ascii(other):
            return other
    return None


def _is_ascii(file: InputFile) -> bool:
    with uncovered(file, recognise(file).layers) as stream:
        return all(line.isascii() for line in islice(stream, _MOST_LINES))


def _is_better(error: UserError, before: UserError) -> bool:
    if isinstance(before, BadRowsError):
        return isinstance(error, BadRowsError) and len(error.bad) < len(before.bad)
    return isinstance(error, (BadRowsError, LayoutError))


def _step(failure: UserError, file: InputFile, csv_format: CsvFormat, tried: set[str]) -> tuple[Changes, str]:
    """What to change next, and how the text that was wrong reads then."""
    if isinstance(failure, LayoutError):
        encoding = guess_wide(failure.found.head) if is_utf8(csv_format.encoding) else None
        if encoding and "encoding" not in tried and not marked_encoding(failure.found.head):
            return {"encoding": encoding}, ""
        return (_layout(failure, csv_format) if "user_column" not in tried else {}), ""
    if not isinstance(failure, BadRowsError):
        return {}, ""
    if failure.undecodable and "encoding" not in tried:
        step, example = _encoding(failure)
        if step:
            return step, example
    if "escape" not in tried and not csv_format.escape and _escapes_quotes(failure):
        return {"escape": _BACKSLASH}, ""
    if "skip_bad_rows" not in tried and failure.good:
        return {"skip_bad_rows": True}, ""
    return {}, ""


def _encoding(failure: BadRowsError) -> tuple[Changes, str]:
    source = failure.source
    with uncovered(source.file, source.layers) as stream:
        lines = [line for line in islice(stream, _MOST_LINES) if not line.isascii()]
    sample, size = [], 0
    for line in lines:
        sample.append(line[:_SAMPLE])
        size += len(line)
        if size > _SAMPLE:
            break
    guess = guess_encoding(sample)
    if not guess:
        return {}, ""
    return {"encoding": guess}, _example(sample, guess)


def _example(lines: list[bytes], encoding: str) -> str:
    """Shows how a word that was not UTF-8 reads in the encoding, so that people can judge the guess."""
    for line in lines:
        text = line.decode(encoding, errors="replace")
        if word := re.search(r"[^\W\d_]*[^\x00-\x7f][^\W\d_]*", text):
            return f" (it then reads {quoted(word[0], 20)})"
    return ""


def _escapes_quotes(failure: BadRowsError) -> bool:
    lines = failure.source.lines()
    return any(f'{_BACKSLASH}"' in line for line in islice(lines, _MOST_LINES))


def _layout(failure: LayoutError, csv_format: CsvFormat) -> Changes:
    """Columns, delimiter and blanks that the first rows of the file have; the fewest changes that find both columns."""
    return min(
        _layouts(failure, csv_format),
        key=lambda found: found[0],
        default=(0, {}),
    )[1]


def _layouts(failure: LayoutError, csv_format: CsvFormat) -> Iterator[tuple[int, Changes]]:
    now = csv_format.delimiter
    spaces = [csv_format.skip_initial_space] if csv_format.skip_initial_space else [False, True]
    for delimiter, space in product([now, *(mark for mark in DELIMITERS if mark != now)], spaces):
        names = _names(failure, csv_format, delimiter, space)
        columns = _columns(names, csv_format)
        if columns is not None:
            changes = {"delimiter": delimiter, "skip_initial_space": space, **columns}
            changed = {name: value for name, value in changes.items() if value != getattr(csv_format, name)}
            yield 2 * len(columns) + len(changed), changed


def _names(failure: LayoutError, csv_format: CsvFormat, delimiter: str, space: bool) -> list[str]:
    encoding = marked_encoding(failure.found.head) or csv_format.encoding
    lines = lines_of(failure.file, failure.found.layers, encoding)
    first = next(lines, "")
    hint = excel_hint(first)
    lines = lines if hint else chain([first], lines)
    delimiter = delimiter or hint or default_delimiter(failure.found.inner_name)
    try:
        return next((row for row in read_rows(lines, delimiter, csv_format.escape, space, strict=False) if row), [])
    except csv.Error:
        return []


def _split_otherwise(failure: LayoutError, csv_format: CsvFormat) -> Sentence | None:
    """Says which columns another delimiter makes of a first row that is one field; None where none does."""

    def names(mark: str) -> list[str]:
        return _names(failure, csv_format, mark, csv_format.skip_initial_space)

    best = max(DELIMITERS, key=lambda mark: len(names(mark)))
    if len(names(csv_format.delimiter)) != 1 or len(names(best)) < 2:
        return None
    return Sentence(
        "Pass {delimited} for the columns {columns}, and {user_column} and {text_column} with two of them.",
        delimited={"delimiter": best},
        columns=quoted_list(names(best)),
    )


def _columns(names: list[str], csv_format: CsvFormat) -> Changes | None:
    """The columns to name in place of those that are missing; None where they are not there."""
    if not csv_format.header:
        return {} if max(int(csv_format.user_column), int(csv_format.text_column)) < len(names) else None
    if len(names) < 2:
        return None
    wanted = {"user_column": csv_format.user_column, "text_column": csv_format.text_column}
    missing = {role: name for role, name in wanted.items() if name not in names}
    taken = set(wanted.values()) & set(names)
    changes: Changes = {}
    for role, name in missing.items():
        free = [other for other in names if other not in taken and _can_be_typed(other)]
        match = _likely(role, name, free)
        if match is None and len(names) == 2 and len(free) == 1:
            match = free[0]
        if match is None:
            return None
        changes[role] = match
        taken.add(match)
    return changes


def _likely(role: str, wanted: str, names: list[str]) -> str | None:
    """The name that is nearest to the wanted one, or usual for such a column."""
    names = names[:_MOST_NAMES]
    same = next((name for name in names if plain(name) == plain(wanted)), None)
    if found := same or usual(role, names):
        return found
    close = difflib.get_close_matches(wanted, [name for name in names if name], n=1, cutoff=0.4)
    return close[0] if close else None


def _can_be_typed(name: str) -> bool:
    return name.isprintable() and 0 < len(name) <= _LONGEST_NAME  # an empty one cannot
