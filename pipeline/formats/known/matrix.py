"""A Matrix room as Element exports it in JSON (`export.json`): its events, of which some change others.

The file is read twice: what changes an event, and what people are called, stands below it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.json_records import records
from charflow.pipeline.formats.json_values import has_keys, name_of, object_of, text_of

_EVENT = re.compile(r'"type"\s*:\s*"m\.[a-z.]+"')
_OF_PEOPLE = ("m.text", "m.emote")
_MEDIA = ("m.image", "m.file", "m.audio", "m.video")  # their body is a caption where they have a filename too
_FALLBACK = re.compile(r"> (?:\* )?<@[^>\n]*>[^\n]*\n(?:>[^\n]*\n)*\n?")  # what a reply quotes


@dataclass
class _Changes:
    """What stands below the events that it is about.

    Attributes:
        edited: the last text of each event that was edited, by its sender, who alone may do that, and its id.
        names: of people, by their ids.
        redacted: events that were taken back.
    """

    edited: dict[tuple[str, str], str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    redacted: set[str] = field(default_factory=set)


def _recognises(chat: ChatFile) -> bool:
    return has_keys(chat.head, "messages", "sender") and '"content"' in chat.head and bool(_EVENT.search(chat.head))


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    changes = _changes(chat)
    for event in records(chat, notes, "messages.item"):
        user, content = text_of(event.get("sender")), object_of(event.get("content"))
        text = changes.edited.get((user, text_of(event.get("event_id")))) or _text(content)
        if reason := _no_message(event, content, changes):
            notes.leave_out(reason, text or text_of(event.get("type")))
        else:
            wordless = text_of(content.get("msgtype"))
            yield from notes.signed(user, text if text.strip() else "", changes.names.get(user, ""), wordless=wordless)


def _changes(chat: ChatFile) -> _Changes:
    changes = _Changes()
    for event in records(chat, Notes(), "messages.item"):
        kind, user, content = event.get("type"), text_of(event.get("sender")), object_of(event.get("content"))
        relation = object_of(content.get("m.relates_to"))
        if kind == "m.room.member":
            changes.names[name_of(event.get("state_key"), user)] = text_of(content.get("displayname"))
        elif kind == "m.room.redaction":
            changes.redacted.add(name_of(event.get("redacts"), content.get("redacts")))
        elif relation.get("rel_type") == "m.replace" and not _is_redacted(event):
            changes.edited[user, text_of(relation.get("event_id"))] = _new_text(content)
        bundled = object_of(object_of(object_of(event.get("unsigned")).get("m.relations")).get("m.replace"))
        if edit := object_of(bundled.get("content")):
            changes.edited[user, text_of(event.get("event_id"))] = _new_text(edit)
    return changes


def _new_text(edit: Mapping[str, Any]) -> str:
    """What an edit puts in place of a text; clients that know no edits show it with an asterisk."""
    return _text(object_of(edit.get("m.new_content"))) or _text(edit).removeprefix("* ")


def _no_message(event: Mapping[str, Any], content: Mapping[str, Any], changes: _Changes) -> str:
    """Says what an event is that is not what a person wrote; empty where it is."""
    kind, msgtype = event.get("type"), content.get("msgtype")
    if kind == "m.room.encrypted" or msgtype == "m.bad.encrypted":
        return "encrypted message"
    if kind != "m.room.message":
        return "service event"
    if _is_redacted(event) or text_of(event.get("event_id")) in changes.redacted or not content:
        return "deleted message"
    if object_of(content.get("m.relates_to")).get("rel_type") == "m.replace":
        return "edit"
    if msgtype == "m.notice":
        return "bot message"
    has_caption = msgtype in _MEDIA and content.get("filename") not in (None, content.get("body"))
    return "" if msgtype in _OF_PEOPLE or has_caption else "media message"


def _is_redacted(event: Mapping[str, Any]) -> bool:
    return "redacted_because" in object_of(event.get("unsigned"))


def _text(content: Mapping[str, Any]) -> str:
    """A text without what it replies to, which old clients wrote above it."""
    body = text_of(content.get("body"))
    found = _FALLBACK.match(body)
    return body[found.end() :] if found else body


FORMAT = ChatFormat(
    title="Matrix",
    files="Element's `export.json`, or the `.zip`",
    users="id or name",
    changed=(
        "edits, which replace what they edit; what was taken back or cannot be decrypted; notices, which bots"
        " write; pictures without a caption. What a reply quotes above itself is taken off"
    ),
    recognises=_recognises,
    read=_read,
)
