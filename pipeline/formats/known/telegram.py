"""Telegram Desktop's "Export chat history" in JSON: `result.json`, of one chat or of all."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.json_records import records
from charflow.pipeline.formats.json_values import has_keys, name_of, text_of


def _recognises(chat: ChatFile) -> bool:
    head = chat.head
    return _is_whole(head) or (has_keys(head, "type", "id", "messages") and has_keys(head, "date_unixtime"))


def _is_whole(head: str) -> bool:
    """Says whether all chats of a person stand in the file; they begin far below."""
    return has_keys(head, "about") and ('"personal_information"' in head or '"chats"' in head) and "elegram" in head


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    for message in _messages(chat, notes):
        text = _text(message.get("text"))
        user = name_of(message.get("from_id"), message.get("from"))
        if message.get("type") != "message":
            notes.leave_out("service message", name_of(message.get("action"), message.get("type")))
        elif message.get("forwarded_from") is not None or message.get("forwarded_from_id") is not None:
            notes.leave_out("forwarded message", text)
        elif message.get("via_bot"):
            notes.leave_out("bot message", text)
        else:
            wordless = name_of(message.get("media_type"), "a picture or a file")
            yield from notes.signed(user, text, name_of(message.get("from")), wordless=wordless)


def _messages(chat: ChatFile, notes: Notes) -> Iterator[Mapping[str, Any]]:
    """Those of the one chat, or of all and then of those that the person has left, which stand below."""
    if not _is_whole(chat.head):
        return records(chat, notes, "messages.item")
    left = records(chat, Notes(), "left_chats.list.item.messages.item")  # what is broken was noted before
    return chain(records(chat, notes, "chats.list.item.messages.item"), left)


def _text(value: Any) -> str:
    """Joins a text and its links, mentions and bold words, which stand in a list with nothing between."""
    if not isinstance(value, list):
        return text_of(value)
    return "".join(text_of(part.get("text")) if isinstance(part, dict) else text_of(part) for part in value)


FORMAT = ChatFormat(
    title="Telegram",
    files="Telegram Desktop's `result.json` of one chat, or of all with those that were left",
    users="name or id",
    changed="service, forwarded and bots' messages; pictures without a text",
    recognises=_recognises,
    read=_read,
)
