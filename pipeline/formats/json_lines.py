"""JSON lines: an object a line, with the usual names for who wrote and what."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.json_records import name_of
from charflow.pipeline.formats.usual_columns import names_beside, usual

_names_beside = lru_cache(maxsize=128)(names_beside)  # rows have few sets of keys, and a file has many rows


def _recognises(chat: ChatFile) -> bool:
    lines = chat.head_lines()
    if not lines or lines[0].strip()[:1] != "{":
        return False
    try:
        return _fields(_flat(json.loads(lines[0]))) is not None
    except ValueError:
        return False


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    fields: tuple[str, str] | None = None
    for line in chat.lines():
        if not line.strip():
            continue
        row = _parsed(line)
        if row is None:
            notes.leave_out("broken line", line)
            continue
        fields = fields or _fields(row)
        if not fields:
            notes.leave_out("incomplete object", line)
            continue
        user, text = name_of(row.get(fields[0])), row.get(fields[1])
        if not user or not isinstance(text, str):
            notes.leave_out("incomplete object", line)
            continue
        if not notes.kind:
            notes.kind = f"users in {fields[0]!r}, messages in {fields[1]!r}"
        for beside in _names_beside(fields[0], tuple(row)):
            if beside != fields[1]:
                notes.names.add(user, name_of(row[beside]))
        yield user, text


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return _flat(row) if isinstance(row, dict) else None


def _flat(row: Any) -> dict[str, Any]:
    """Names the fields of objects in an object as CSV files do: `author.name`."""
    found: dict[str, Any] = {}
    for key, value in row.items() if isinstance(row, Mapping) else ():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            found[key] = value
    return found


def _fields(row: Mapping[str, Any]) -> tuple[str, str] | None:
    user = usual("user_column", [name for name, value in row.items() if name_of(value)])
    text = usual("text_column", [name for name, value in row.items() if isinstance(value, str) and name != user])
    return (user, text) if user and text else None


FORMAT = ChatFormat(name="json-lines", title="JSON lines", recognises=_recognises, read=_read, kind="rows")
