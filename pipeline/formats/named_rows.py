"""Finds messages in rows whose fields have names: objects of JSON, rows of Parquet.

The formats of such rows share it; `usual_columns` knows how such fields are called where none are asked for.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from charflow.pipeline.errors import UserError, quoted, quoted_list
from charflow.pipeline.formats.chat_format import ChatFile, Notes
from charflow.pipeline.formats.json_values import Row, name_of
from charflow.pipeline.formats.usual_columns import names_beside, usual
from charflow.sentences import Sentence

_names_beside = lru_cache(maxsize=128)(names_beside)  # rows have few sets of fields, and a file has many rows


class Fields(NamedTuple):
    """The fields that say who wrote, and what."""

    user: str
    text: str


def fields_of(row: Row, asked: Mapping[str, str]) -> Fields | None:
    """The fields of a flat row that are asked for, or usual; None where one is missing."""
    user = asked.get("user_column") or usual("user_column", [name for name, value in row.items() if name_of(value)])
    texts = [name for name, value in row.items() if isinstance(value, str) and name != user]
    text = asked.get("text_column") or usual("text_column", texts)
    return Fields(user, text) if user in row and text in row and user and text else None


def needed(row: Row, chat: ChatFile) -> list[str] | None:
    """The fields of such rows that `messages_in` looks at; None, which is all, where this one does not tell."""
    fields = fields_of(row, chat.columns)
    return list(dict.fromkeys([*fields, *names_beside(fields.user, row)])) if fields else None


def messages_in(
    rows: Iterable[tuple[Row, str]], chat: ChatFile, notes: Notes, *, of: str = "object"
) -> Iterator[tuple[str, str]]:
    """Yields the messages of flat rows, each of which is given with how it looks in the file.

    Args:
        rows: of the file.
        chat: the file.
        notes: what is to be said of it.
        of: what a row is called where it is left out.

    Raises:
        UserError: fields that are asked for stand in no row.
    """
    fields: Fields | None = None
    names: dict[str, None] = {}
    for row, shown in rows:
        fields = fields or fields_of(row, chat.columns)
        if not fields:
            names |= dict.fromkeys(row)
        user, text = (name_of(row.get(fields.user)), row.get(fields.text)) if fields else ("", None)
        if not fields or not user or not isinstance(text, str):
            notes.leave_out(f"incomplete {of}", shown)
            continue
        notes.kind = notes.kind or f"users in {fields.user!r}, messages in {fields.text!r}"
        for beside in _names_beside(fields.user, tuple(row)):
            if beside != fields.text:
                notes.names.add(user, name_of(row[beside]))
        yield user, text
    if names and not fields:
        raise UserError(
            f"{chat.name} has no row with the fields {_wanted(chat)}. Fields are: {quoted_list(names)}.",
            advice=Sentence("Pass {user_column} and {text_column} with two of them."),
        )


def _wanted(chat: ChatFile) -> str:
    roles = {"user_column": "of who wrote", "text_column": "of what was written"}
    return " and ".join(quoted(chat.columns[role]) if role in chat.columns else what for role, what in roles.items())
