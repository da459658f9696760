"""The chat formats but CSV. Each is a module here, and nothing else; it is asked for by the module's name, with dashes.

Chats are tried before rows of any kind, and these before prose, which takes what is neither a chat nor looks like a
table; CSV comes after all, for it is what a file may be that looks like rows. Nothing is loaded before a file is looked
at: the command line reads the names of the modules.
"""

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat
    from charflow.pipeline.formats.csv_format import CsvFormat

NAMES = (*(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)), "csv")
AUTO = "auto"
CHOICES: Any = cast(Any, Literal)[(AUTO, *NAMES)]  # beside the type of a setting


@cache
def format_called(name: str) -> "ChatFormat":
    """The format of a name."""
    return import_module(f"{__name__}.{name.replace('-', '_')}").FORMAT


@cache
def formats() -> "tuple[ChatFormat, ...]":
    """All of them but CSV, in the order in which they are tried: by kind, then by name."""
    from charflow.pipeline.formats.chat_format import KINDS

    return tuple(sorted(map(format_called, NAMES[:-1]), key=lambda one: KINDS.index(one.kind)))


def format_of(chat: "ChatFile", asked: "CsvFormat") -> "ChatFormat | None":
    """The format that is asked for, or the first that a file is in; None for CSV, and what may be CSV."""
    if asked.format != AUTO:
        return None if asked.format == "csv" else format_called(asked.format)
    if asked.names_rows:
        return None
    return next((one for one in formats() if (one.kind == "rows" or not chat.columns) and one.recognises(chat)), None)


def titles() -> str:
    """What people call the formats, in a list."""
    return f"{', '.join(one.title for one in formats())} or CSV"
