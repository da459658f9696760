"""How the rows of CSV files are written: what `csv_source` is told, and `csv_advice` tries out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from charflow.pipeline.bounds import shown
from charflow.pipeline.errors import SettingError
from charflow.pipeline.formats.encodings import is_encoding
from charflow.pipeline.formats.known import AUTO, CHOICES, NAMES
from charflow.pipeline.option import Option
from charflow.pipeline.settings import check

_OF_ROWS = ("delimiter", "header", "escape", "skip_initial_space")  # settings that CSV files alone have


def _delimiter(typed: str) -> dict[str, Any]:
    return {"delimiter": typed.replace("\\t", "\t")}


@dataclass(frozen=True, kw_only=True)
class CsvFormat:
    r"""How the rows of the files are written.

    Attributes:
        format: of the files; "auto" sees it by how each begins. All other settings but the encoding are of formats that
            have rows and columns, and make "auto" look for no other.
        user_column: without a header its position, counted from 0.
        text_column: likewise.
        delimiter: one character; empty picks what a first line `sep=;` says, a tab for `.tsv` and `.tab` files, and a
            comma for all others.
        header: whether the first row names the columns.
        encoding: as Python names it; a mark of UTF-16 or UTF-32 in a file overrides "utf-8".
        escape: one character, such as the backslash of `\"`; empty is none.
        skip_initial_space: leave out blanks between a delimiter and the field after it.
        skip_bad_rows: leave out, count and report the rows that cannot be read, instead of refusing the file.
    """

    format: Annotated[str, CHOICES, Option(f"{', '.join(NAMES)}. [default: auto, by content]", "NAME")] = AUTO
    user_column: Annotated[str, Option("Column of the user id. [default: fromUser.id]")] = "fromUser.id"
    text_column: Annotated[str, Option("Column of the message. [default: text]")] = "text"
    delimiter: Annotated[str, Option("Field delimiter. [default: comma; tab for .tsv]", "C", read=_delimiter)] = ""
    header: Annotated[bool, Option("The first row is data; give columns by position from 0.", name="no-header")] = True
    encoding: Annotated[str, Option("Of the characters, such as cp1252 or utf-16-le. [default: utf-8]")] = "utf-8"
    escape: Annotated[str, Option("Takes the meaning from the next character, such as \\.", "C")] = ""
    skip_initial_space: Annotated[bool, Option("Blanks after a delimiter count for nothing.")] = False
    skip_bad_rows: Annotated[bool, Option("Leave out rows that cannot be read, and count them.")] = False

    def __post_init__(self) -> None:
        check(self)
        if self.delimiter and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise SettingError(
                "{delimiter} must be one character other than a quote or a line break, not {found}.",
                found=shown(self.delimiter),
            )
        if self.escape and (len(self.escape) != 1 or self.escape in f'"\r\n {self.delimiter}'):
            raise SettingError(
                "{escape} must be one character other than a quote, a blank, a line break or the delimiter, not "
                "{found}.",
                found=shown(self.escape),
            )
        if not is_encoding(self.encoding):
            raise SettingError(
                "{encoding} must be an encoding that Python has, such as utf-8, utf-16-le, cp1252, latin-1, mac-roman, "
                "gb18030 or shift-jis, not {found}.",
                found=shown(self.encoding),
            )
        columns = (self.user_column, self.text_column)
        if not self.header and not all(column.isdecimal() for column in columns):
            raise SettingError(
                "Without a header, columns are given by position from 0, such as 1 for {user_column} and 5 for "
                "{text_column}."
            )
        if len(set(columns if self.header else map(int, columns))) == 1:
            raise SettingError("{user_column} and {text_column} cannot both be {found}.", found=shown(self.user_column))

    @property
    def named_columns(self) -> Mapping[str, str]:
        """The columns that are not those of the default, by role."""
        named = {"user_column": self.user_column, "text_column": self.text_column}
        return {role: name for role, name in named.items() if name != getattr(CsvFormat, role)}

    @property
    def names_rows(self) -> bool:
        """Whether it says how rows are written, as only CSV files have them."""
        return any(getattr(self, name) != getattr(CsvFormat, name) for name in _OF_ROWS)
