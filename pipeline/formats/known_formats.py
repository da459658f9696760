"""The list of chat formats, in the order in which they are tried.

CSV comes after them, for it is what a file may be that looks like rows; plain text is the last of those before it, and
takes what is neither a chat nor looks like a table.

A new format is a module beside this one, called as here but for its dashes, a name here, and a test. Nothing is loaded
before a file is looked at: the command line reads the names.
"""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat
    from charflow.pipeline.formats.csv_format import CsvFormat

FormatName = Literal[
    "auto",
    "signal",
    "whatsapp",
    "telegram",
    "discord",
    "irc",
    "slack",
    "facebook",
    "matrix",
    "json-lines",
    "plain-text",
    "csv",
]
_AUTO, *_CHATS, _CSV = get_args(FormatName)


@cache
def formats() -> "tuple[ChatFormat, ...]":
    """All of them but CSV."""
    return tuple(import_module(f"{__package__}.{name.replace('-', '_')}").FORMAT for name in _CHATS)


def format_of(chat: "ChatFile", asked: "CsvFormat") -> "ChatFormat | None":
    """The format that is asked for, or the first that a file is in; None for CSV, and what may be CSV."""
    if asked.format != _AUTO:
        return next((one for one in formats() if one.name == asked.format), None)
    if asked.names_rows:
        return None
    return next((one for one in formats() if (one.kind == "rows" or not chat.columns) and one.recognises(chat)), None)


def names() -> tuple[str, ...]:
    """What the formats are asked for by."""
    return (*_CHATS, _CSV)


def titles() -> str:
    """What people call the formats, in a list."""
    return f"{', '.join(one.title for one in formats())} or CSV"
