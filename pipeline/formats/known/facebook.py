"""Facebook's and Instagram's messages in JSON: a thread is a folder of `message_1.json` (the newest), `message_2.json`.

Its UTF-8 was taken for Latin-1 there, and messages stand from the newest to the oldest. What Messenger gives of
encrypted chats has other keys, `senderName` and `text`, and needs no mending.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.folders import in_order
from charflow.pipeline.formats.inputs import InputFile
from charflow.pipeline.formats.json_records import records
from charflow.pipeline.formats.json_values import has_keys, text_of

_SENDER = re.compile(r'"(?:sender_name|senderName)"\s*:')
_BYTES = re.compile("[\x80-\xff]{2,}")  # a character of UTF-8, each byte of which became one
_PART = re.compile(r"message_(\d+)\.json")
_SERVICE_TYPES = ("call", "subscribe", "unsubscribe", "placeholder")
_REACTED = re.compile(r"(?:\S.{0,80} )?[Rr]eacted \S{1,16} to your message ?|Liked a message")
_TO_OWNER = re.compile(  # who exports is no name in what Messenger writes
    r"You (?:sent an attachment|created the group|named the group|(?:un)?pinned a message|missed a (?:video )?call|"
    r"changed the (?:group photo|(?:chat )?theme)|(?:set|cleared) (?:your|the) (?:nickname|quick reaction)|"
    r"(?:added|removed) .+ (?:to|from) the group|(?:left|joined) the group|turned (?:on|off) )\b.*"
)
_MASK = "\0"
_SIGN = re.compile(r"[^\w\s.,;:!?'\"()\[\]/@#&%+*=-]+")  # an emoji
_OFTEN = 3


class _Message(NamedTuple):
    time: int
    user: str
    text: str
    reason: str  # for which it is left out, or empty


def _recognises(chat: ChatFile) -> bool:
    return has_keys(chat.head, "participants", "messages") and bool(_SENDER.search(chat.head))


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    """Reads a file whole, of at most 10,000 messages, as its last one comes first."""
    messages = [_message(one) for one in records(chat, notes, "messages.item")]
    reactions = _reactions(messages)
    messages.reverse()  # for those of the same time, whose order stays
    for message in sorted(messages, key=lambda message: message.time):
        if message.reason:
            notes.leave_out(message.reason, message.text or "a picture, a sticker or the like")
        elif _masked(message.text) in reactions:
            notes.leave_out("reaction", message.text)
        else:
            yield message.user, message.text


def _message(one: Mapping[str, Any]) -> _Message:
    time = one.get("timestamp_ms", one.get("timestamp"))
    user, text = text_of(one.get("senderName")), text_of(one.get("text"))
    if "sender_name" in one:
        user, text = _mended(text_of(one["sender_name"])), _mended(text_of(one.get("content")))
    return _Message(time if isinstance(time, int) else 0, user, text, _no_message(one, user, text))


def _no_message(one: Mapping[str, Any], user: str, text: str) -> str:
    """Says what it is that no person wrote; empty where one did."""
    if one.get("is_unsent") or one.get("isUnsent"):
        return "deleted message"
    if text_of(one.get("type")).lower() in _SERVICE_TYPES or "call_duration" in one:
        return "service message"
    if not text:
        return "empty message"
    if _REACTED.fullmatch(text):
        return "reaction"
    # "Mira Sand named the group Boats.": in any language the writer's own name, and a full stop at the end.
    if _TO_OWNER.fullmatch(text) or (user and text.startswith(f"{user} ") and text.endswith(".")):
        return "service message"
    return "" if user else "unsigned message"


def _reactions(messages: list[_Message]) -> set[str]:
    """Finds "Ha reaccionado X a tu mensaje " in any language: one sentence with many signs, a blank at its end."""
    masked = {(_masked(message.text), message.text) for message in messages if message.text.endswith(" ")}
    counts = Counter(sentence for sentence, _ in masked if sentence.count(f" {_MASK} ") == 1)
    return {sentence for sentence, signs in counts.items() if signs >= _OFTEN and len(sentence.split()) > 3}


def _masked(text: str) -> str:
    return _SIGN.sub(_MASK, text)


def _mended(text: str) -> str:
    r"""Reads as UTF-8 what was read as Latin-1.

    >>> _mended("caf\u00c3\u00a9 \u00e2\u009d\u00a4"), _mended("d\u00e9j\u00e0")
    ('café ❤', 'déjà')
    """
    return _BYTES.sub(lambda found: _decoded(found[0]), text)


def _decoded(characters: str) -> str:
    try:
        return characters.encode("latin-1").decode()
    except UnicodeDecodeError:
        return characters


def _oldest_first(files: list[InputFile]) -> list[InputFile]:
    """Sorts the parts of each thread by their numbers, of which 1 is the newest."""

    def key(file: InputFile) -> tuple[Any, int]:
        part = _PART.fullmatch(PurePath(file.path).name)
        return (in_order(str(PurePath(file.path).parent)), -int(part[1])) if part else (in_order(file.path), 0)

    return sorted(files, key=key)


FORMAT = ChatFormat(
    title="Facebook or Instagram",
    files="`messages/inbox/*/message_N.json`, the whole download; Messenger's JSON of encrypted chats",
    users="the name in the chat",
    changed=(
        'reactions, calls, "… named the group …", unsent messages, pictures without a text. Letters that the '
        "export garbles are mended, and the oldest message comes first"
    ),
    recognises=_recognises,
    read=_read,
    pick=_oldest_first,
)
