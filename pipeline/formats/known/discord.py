"""Discord as DiscordChatExporter writes it in JSON; its CSV is one with the columns Author and Content."""

from collections.abc import Iterator, Mapping
from typing import Any

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.json_records import records
from charflow.pipeline.formats.json_values import has_keys, name_of, object_of, text_of

_OF_PEOPLE = ("Default", "Reply")  # of the types of messages; others are written by Discord


def _recognises(chat: ChatFile) -> bool:
    return has_keys(chat.head, "guild", "channel", "messages")


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    for message in records(chat, notes, "messages.item"):
        author = object_of(message.get("author"))
        names = [_name(author), text_of(author.get("nickname"))]
        text, user = text_of(message.get("content")), name_of(author.get("id"), *names)
        if message.get("type", "Default") not in _OF_PEOPLE:
            notes.leave_out("system message", f"{message.get('type')}: {text}".removesuffix(": "))
        elif author.get("isBot"):
            notes.leave_out("bot message", text)
        else:
            yield from notes.signed(user, text, *dict.fromkeys(names), wordless="an attachment or a sticker")


def _name(author: Mapping[str, Any]) -> str:
    """The name that is the same on every server; once it had four digits after it, now they are "0000"."""
    name, digits = name_of(author.get("name")), text_of(author.get("discriminator"))
    return f"{name}#{digits}" if name and digits.strip("0") else name


FORMAT = ChatFormat(
    title="Discord",
    files="JSON of DiscordChatExporter, also cut short, or its parts; its CSV",
    users="id, name or nickname",
    changed="all types but messages and replies; bots' messages",
    recognises=_recognises,
    read=_read,
)
