"""A JSON array of objects, with fields for who wrote and what, such as databases and pandas write."""

import json
from collections.abc import Iterator

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.json_records import records
from charflow.pipeline.formats.json_values import first_record, flat
from charflow.pipeline.formats.named_rows import fields_of, messages_in


def _recognises(chat: ChatFile) -> bool:
    return chat.head.lstrip()[:1] == "[" and fields_of(flat(first_record(chat.head)), chat.columns) is not None


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    rows = ((flat(row), json.dumps(row, ensure_ascii=False)) for row in records(chat, notes, "item"))
    return messages_in(rows, chat, notes)


FORMAT = ChatFormat(
    title="a JSON array",
    files="objects in `[ ]`, with the fields of JSON lines",
    users="what stands there",
    changed="objects without such fields, an end that is cut off",
    recognises=_recognises,
    read=_read,
    kind="rows",
)
