"""Finds other settings of `CsvFormat` with which a file that was refused can be read, by trying them.

`messages` asks after a failed read. Each step changes what the failure points at, and the file is read again. Where
every step is the only one that is plausible, `messages` takes what was read, and says so; `csv_advice` puts the others
into words.
"""

import csv
import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice, product
from typing import Any, Generic, TypeVar

from charflow.pipeline.errors import UserError, quoted
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.csv_lines import DELIMITERS, default_delimiter, excel_hint, lines_of, read_rows
from charflow.pipeline.formats.csv_repair import BadRowsError
from charflow.pipeline.formats.csv_source import LayoutError
from charflow.pipeline.formats.encodings import guess_encoding, guess_wide, is_plausible, is_utf8, marked_encoding
from charflow.pipeline.formats.file_types import uncovered
from charflow.pipeline.formats.inputs import InputFile
from charflow.pipeline.formats.usual_columns import is_only_usual, plain, usual

R = TypeVar("R")
Changes = dict[str, Any]

_BACKSLASH = "\\"
_CERTAIN_GUESS = "cp1252"  # Excel's in the West
_IN_WORD = re.compile("(?<=[a-zA-Z])[À-ÿ]|[À-ÿ](?=[a-zA-Z])")
_SAMPLE = 1 << 18  # bytes of lines beyond ASCII that an encoding is guessed from
_MOST_LINES = 1 << 20  # read for that sample, or to see how quotes are written
_LONGEST_NAME = 80  # characters of a column's name that is worth typing
_MOST_NAMES = 1000  # of columns that are compared with the wanted one
_MOST_STEPS = 5


@dataclass(frozen=True)
class Step:
    """What is changed after a failure.

    Attributes:
        changes: fields of `CsvFormat`; none where nothing helps.
        shown: how the text that was wrong reads then.
        is_certain: whether no other change is plausible.
    """

    changes: Changes = field(default_factory=dict)
    shown: str = ""
    is_certain: bool = False


@dataclass(frozen=True)
class Reading(Generic[R]):
    """A way to read a file that was refused.

    Attributes:
        changes: fields of `CsvFormat`.
        shown: how text that was wrong reads then.
        is_certain: whether no other way is plausible, and nothing that was asked for is changed.
        result: what was read.
    """

    changes: Changes
    shown: str
    is_certain: bool
    result: R


def other_reading(
    failure: UserError, file: InputFile, csv_format: CsvFormat, read: Callable[[InputFile, CsvFormat], R]
) -> Reading[R] | None:
    """Tries step after step, until the file can be read; None where that does not come to be.

    Args:
        failure: what `read(file, csv_format)` raised.
        read: reads a file to its end, or raises.
    """
    done, tried = Step(is_certain=True), set[str]()
    for _ in range(_MOST_STEPS):
        step = _step(failure, file, replace(csv_format, **done.changes), tried)
        if not step.changes:
            return None
        tried |= set(step.changes)
        both = Step({**done.changes, **step.changes}, done.shown + step.shown, done.is_certain and step.is_certain)
        try:
            result = read(file, replace(csv_format, **both.changes))
            asked = any(getattr(csv_format, name) != getattr(CsvFormat, name) for name in both.changes)
            return Reading(both.changes, both.shown, both.is_certain and not asked, result)
        except UserError as error:
            if _is_better(error, failure):
                done, failure = both, error
    return None


def _is_better(error: UserError, before: UserError) -> bool:
    if isinstance(before, BadRowsError):
        return isinstance(error, BadRowsError) and len(error.bad) < len(before.bad)
    return isinstance(error, (BadRowsError, LayoutError))


def _step(failure: UserError, file: InputFile, csv_format: CsvFormat, tried: set[str]) -> Step:
    """What to change next."""
    if isinstance(failure, LayoutError):
        encoding = guess_wide(failure.found.head) if is_utf8(csv_format.encoding) else None
        if encoding and "encoding" not in tried and not marked_encoding(failure.found.head):
            return Step({"encoding": encoding}, is_certain=True)
        return _layout(failure, csv_format) if "user_column" not in tried else Step()
    if not isinstance(failure, BadRowsError):
        return Step()
    if failure.undecodable and "encoding" not in tried:
        step = _encoding(failure)
        if step.changes:
            return step
    if "escape" not in tried and not csv_format.escape and _escapes_quotes(failure):
        return Step({"escape": _BACKSLASH})
    if "skip_bad_rows" not in tried and failure.good:
        return Step({"skip_bad_rows": True})
    return Step()


def _encoding(failure: BadRowsError) -> Step:
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
        return Step()
    return Step({"encoding": guess}, _example(sample, guess), _is_certain(b"\n".join(sample), guess))


def _is_certain(raw: bytes, guess: str) -> bool:
    """Says whether most of what is beyond ASCII are letters inside words; what damage leaves stands alone."""
    text = raw.decode(guess, errors="replace")
    others = sum(not char.isascii() for char in text)
    return guess == _CERTAIN_GUESS and is_plausible(raw, guess) and 2 * len(_IN_WORD.findall(text)) > others


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


def _layout(failure: LayoutError, csv_format: CsvFormat) -> Step:
    """Columns, delimiter and blanks that the first rows of the file have; the fewest changes that find both columns."""
    return min(
        _layouts(failure, csv_format),
        key=lambda found: found[0],
        default=(0, Step()),
    )[1]


def _layouts(failure: LayoutError, csv_format: CsvFormat) -> Iterator[tuple[int, Step]]:
    now = csv_format.delimiter
    spaces = [csv_format.skip_initial_space] if csv_format.skip_initial_space else [False, True]
    for delimiter, space in product([now, *(mark for mark in DELIMITERS if mark != now)], spaces):
        found = _columns(first_row(failure, csv_format, delimiter, space), csv_format)
        if found is not None:
            changes = {"delimiter": delimiter, "skip_initial_space": space, **found.changes}
            changed = {name: value for name, value in changes.items() if value != getattr(csv_format, name)}
            yield 2 * len(found.changes) + len(changed), replace(found, changes=changed)


def first_row(failure: LayoutError, csv_format: CsvFormat, delimiter: str, space: bool) -> list[str]:
    """The fields of the first row as another delimiter makes them; none where it is not CSV then."""
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


def _columns(names: list[str], csv_format: CsvFormat) -> Step | None:
    """The columns to name in place of those that are missing; None where they are not there."""
    if not csv_format.header:
        fits = max(int(csv_format.user_column), int(csv_format.text_column)) < len(names)
        return Step(is_certain=True) if fits else None
    if len(names) < 2:
        return None
    wanted = {"user_column": csv_format.user_column, "text_column": csv_format.text_column}
    missing = {role: name for role, name in wanted.items() if name not in names}
    taken = set(wanted.values()) & set(names)
    changes: Changes = {}
    are_certain = True
    for role, name in missing.items():
        free = [other for other in names if other not in taken and _can_be_typed(other)]
        match, is_certain = _likely(role, name, free)
        if match is None and len(names) == 2 and len(free) == 1:
            match = free[0]
        if match is None:
            return None
        changes[role] = match
        are_certain = are_certain and is_certain
        taken.add(match)
    return Step(changes, is_certain=are_certain)


def _likely(role: str, wanted: str, names: list[str]) -> tuple[str | None, bool]:
    """The name that is nearest to the wanted one, or usual for such a column; and whether no other can be meant."""
    names = names[:_MOST_NAMES]
    same = [name for name in names if plain(name) == plain(wanted)]
    if found := next(iter(same), None) or usual(role, names):
        return found, len(same) == 1 or (not same and is_only_usual(role, names))
    close = difflib.get_close_matches(wanted, [name for name in names if name], n=1, cutoff=0.4)
    return (close[0] if close else None), False


def _can_be_typed(name: str) -> bool:
    return name.isprintable() and 0 < len(name) <= _LONGEST_NAME  # an empty one cannot
