"""Notices the longest message, fields that seem to have swallowed rows, and what format a file has.

A quote that is closed much later than it was meant to be makes valid CSV: one message of thousands of lines, the rows
of other people inside. Only its looks tell. `messages` and `csv_repair` show every row to this module; `explore` and
`train` tell what it noticed.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from charflow.pipeline.errors import counted

LINE_BREAK = re.compile("\r\n|\n|\r")
FEWEST_BREAKS = 3  # in a field that is looked at closely
_FEW_COLUMNS = 4  # below, a line of prose with a comma looks like a row by chance
_MANY_LINES = 10
_SHARE = 0.8  # of the lines inside look like rows


@dataclass(frozen=True)
class LongMessage:
    """A field of many lines: its file, the physical line (from 1) where its row starts, and its size.

    Attributes:
        path: what the user calls the file.
        line: where the row starts; 0 where a chat format does not tell.
        lines: in the field.
        characters: in the field.
    """

    path: str
    line: int
    lines: int
    characters: int

    def __str__(self) -> str:
        size = f"{counted(self.characters, 'character')}{f' in {self.lines:,} lines' if self.lines > 1 else ''}"
        return f"{size} ({self.path}, line {self.line:,})" if self.line else f"{size} ({self.path})"

    @property
    def warning(self) -> str:
        """Says what is suspicious about a field that looks like rows."""
        return (
            f"{self.path}, line {self.line:,}: one field of {self.lines:,} lines, most of which look like rows; "
            "its quote may be closed too late."
        )


@dataclass(frozen=True)
class Noticed:
    """What was noticed in one file or several.

    Attributes:
        longest: the longest message.
        swallowing: fields with many lines that look like rows.
        formats: what files are that are no CSV with the expected columns, a line for each.
    """

    longest: LongMessage | None = None
    swallowing: tuple[LongMessage, ...] = ()
    formats: tuple[str, ...] = ()

    @classmethod
    def of_all(cls, parts: Sequence["Noticed"]) -> "Noticed":
        """Joins what was noticed in several files."""
        longest = [part.longest for part in parts if part.longest]
        return cls(
            max(longest, key=lambda message: message.characters, default=None),
            tuple(message for part in parts for message in part.swallowing),
            tuple(line for part in parts for line in part.formats),
        )

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> "Noticed":
        """Reads what `dataclasses.asdict` made of it, perhaps by way of JSON; an empty table is nothing noticed."""
        longest = table.get("longest")
        return cls(
            LongMessage(**longest) if longest else None,
            tuple(LongMessage(**message) for message in table.get("swallowing", ())),
            tuple(table.get("formats", ())),
        )


@dataclass
class LongMessages:
    """Looks at the rows of a file.

    Attributes:
        path: what the user calls it.
        delimiter: between its fields.
        columns: how many fields a row has.
        longest: the longest message so far.
        swallowing: fields so far with many lines that look like rows.
    """

    path: str
    delimiter: str
    columns: int
    longest: LongMessage | None = None
    swallowing: list[LongMessage] = field(default_factory=list)

    def noticed(self) -> Noticed:
        """Sums up."""
        return Noticed(self.longest, tuple(self.swallowing))

    def see(self, line: int, text: str) -> None:
        """Takes notice of a message."""
        if not self.longest or len(text) > self.longest.characters:
            self.longest = self._told(line, text)

    def look_into(self, line: int, fields: Sequence[str]) -> None:
        """Takes notice of a row with many lines."""
        self.swallowing += [self._told(line, text) for text in fields if self._looks_like_rows(text)]

    def _told(self, line: int, text: str) -> LongMessage:
        return LongMessage(self.path, line, len(LINE_BREAK.findall(text)) + 1, len(text))

    def _looks_like_rows(self, text: str) -> bool:
        breaks = max(map(text.count, "\r\n"))  # there may be more
        if text.count(self.delimiter) < _SHARE * (breaks - 1) * (self.columns - 1):  # most are prose: nothing to parse
            return False
        inside = LINE_BREAK.split(text)[1:-1]  # the first and the last line are halves of rows
        if len(inside) < (_MANY_LINES if self.columns < _FEW_COLUMNS else FEWEST_BREAKS - 1):
            return False
        try:
            found = [len(row) for row in csv.reader(inside, delimiter=self.delimiter)]
        except csv.Error:
            return False
        return found.count(self.columns) >= _SHARE * len(inside)
