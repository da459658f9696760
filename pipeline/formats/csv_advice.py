"""Puts into words with which settings of `CsvFormat` a file that was refused can be read.

`csv_trials` tried them; `messages` raises what comes out. Only what ended in a file that can be read is said.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from charflow.pipeline.errors import UserError, quoted_list
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.csv_lines import DELIMITERS
from charflow.pipeline.formats.csv_repair import BadRowsError
from charflow.pipeline.formats.csv_source import LayoutError
from charflow.pipeline.formats.csv_trials import Changes, Reading, first_row
from charflow.pipeline.formats.file_types import recognise, uncovered
from charflow.pipeline.formats.inputs import InputFile
from charflow.sentences import Sentence

Read = Callable[[InputFile, CsvFormat], object]

_MOST_LINES = 1 << 20  # of a file that is looked through
_MOST_OTHERS = 16  # files that are read once more


def advice_for(
    failure: UserError,
    found: Reading | None,
    csv_format: CsvFormat,
    read: Read,
    others: Sequence[InputFile] = (),
) -> tuple[str | Sentence, ...]:
    """Says with which settings the file can be read, where some were found.

    Args:
        failure: what reading the file raised.
        found: with which other settings it can be read.
        read: reads a file to its end, or raises.
        others: files that are read with the same options.
    """
    changes, shown = (found.changes, found.shown) if found else ({}, "")
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


def _split_otherwise(failure: LayoutError, csv_format: CsvFormat) -> Sentence | None:
    """Says which columns another delimiter makes of a first row that is one field; None where none does."""

    def names(mark: str) -> list[str]:
        return first_row(failure, csv_format, mark, csv_format.skip_initial_space)

    best = max(DELIMITERS, key=lambda mark: len(names(mark)))
    if len(names(csv_format.delimiter)) != 1 or len(names(best)) < 2:
        return None
    return Sentence(
        "Pass {delimited} for the columns {columns}, and {user_column} and {text_column} with two of them.",
        delimited={"delimiter": best},
        columns=quoted_list(names(best)),
    )
