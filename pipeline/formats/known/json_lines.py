"""JSON lines: an object a line, with fields for who wrote and what."""

import json
from collections.abc import Iterator
from typing import Any

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.json_values import flat
from charflow.pipeline.formats.named_rows import fields_of, messages_in


def _recognises(chat: ChatFile) -> bool:
    row = _parsed(chat.first_line)
    return row is not None and fields_of(row, chat.columns) is not None


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    return messages_in(_rows(chat, notes), chat, notes)


def _rows(chat: ChatFile, notes: Notes) -> Iterator[tuple[dict[str, Any], str]]:
    for line in filter(str.strip, chat.lines()):
        row = _parsed(line)
        if row is None:
            notes.leave_out("broken line", line)
        else:
            yield row, line


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return flat(row) if isinstance(row, dict) else None


FORMAT = ChatFormat(
    title="JSON lines",
    files="an object a line, with usual names for who and what (`author`/`content`, `user`/`text`, …), or the names"
    " that are given as for CSV; `author.id` is in an object in it",
    users="what stands there",
    changed="lines that are no such object",
    recognises=_recognises,
    read=_read,
    kind="rows",
)
