"""Signal, in the four forms that its chats are written down in.

`main.jsonl` is what Signal itself exports: a line for each person, chat and message. The tool signal-export writes
`data.json` for each chat, a line for each message, and the same as `chat.md`; signalbackup-tools writes texts.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.inputs import InputFile
from charflow.pipeline.formats.json_values import has_keys, name_of, object_of, text_of

_ENTRY = re.compile(r"\[\d{4}-\d{2}-\d{2} \d{2}:\d{2}(?::\d{2})?\] ([^\n]*?):(?: |$)")
_LOGGED = re.compile(r"\[[^\W\d]{3,9} \d{2}, \d{4} \d{2}:\d{2}:\d{2}\] (?:\*\*\*|<([^>\n]*)>) ")
_LOGGED_REACTIONS = re.compile(r" \((?:[^():\n]+: [^\w\s()]+(?:; |(?=\))))+\)\Z")
_POLL = re.compile(r"Poll: .*(?:\n {20,}\[\d+\] .*)+\s*")
_QUOTE = re.compile(r"\s*\n\n?(?:> [^\n]*\n)+\n?")  # what is answered, above the answer
_REACTIONS = re.compile(r"\n\(- .*: .* -\)\s*\Z")
_STICKER = re.compile(r"\n\(\( .* \)\)\s*\Z")
_ATTACHED = re.compile(r"!?\[[^\]\n]*\]\(\.\.?/[^)\n]*\)\s*")
_DELETED = "(This message was deleted)"
_CALL = re.compile(r"(?:Incoming|Outgoing|Missed) (?:voice |video )?call(?: \(.*\))?")
_NOBODY = "No-Sender"


def _recognises(chat: ChatFile) -> bool:
    return _reader(chat) is not None


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    read = _reader(chat)
    return read(chat, notes) if read else iter(())


def _reader(chat: ChatFile) -> Callable[[ChatFile, Notes], Iterator[tuple[str, str]]] | None:
    """The reader of the form that a file has; None where it has none."""
    lines = chat.head_lines()
    first, entries = next(iter(lines), ""), [line for line in lines if _ENTRY.match(line)]
    if has_keys(first, "backupTimeMs"):
        return _of_signal
    if has_keys(first, "date", "sender", "body", "quote", "reactions"):
        return _of_json
    # WhatsApp for iOS has such lines too, but not the two blanks that signal-export ends a text with.
    if first in entries[:1] and 2 * sum(line.endswith("  ") for line in lines) >= len(entries):
        return _of_markdown
    return _of_log if _LOGGED.match(first) else None


def _of_signal(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    names: dict[str, str] = {}  # people stand above their messages
    own = ""
    for line in _objects(chat, notes):
        own = _joined(object_of(line.get("account")), "givenName", "familyName") or own
        if recipient := object_of(line.get("recipient")):
            names[name_of(recipient.get("id"))] = own if "self" in recipient else _called(recipient)
        if item := object_of(line.get("chatItem")):
            user, (text, reason) = name_of(item.get("authorId")), _said(item)
            if reason:
                notes.leave_out(reason, text)
            else:
                notes.names.add(user, names.get(user, ""))
                yield user, text


def _said(item: Mapping[str, Any]) -> tuple[str, str]:
    """The text of an item, and for what reason it is no message; that is empty where it is one."""
    story = object_of(object_of(item.get("directStoryReplyMessage")).get("textReply"))
    text = text_of(object_of((object_of(item.get("standardMessage")) or story).get("text")).get("body"))
    if "updateMessage" in item:
        return next(iter(object_of(item["updateMessage"])), "update"), "service message"
    if "remoteDeletedMessage" in item:
        return "taken back", "deleted message"
    return (text, "") if text else ("a picture, a sticker or the like", "empty message")


def _called(recipient: Mapping[str, Any]) -> str:
    """How Signal shows a person: by the name one gave, one's address book, or the own."""
    contact = object_of(recipient.get("contact"))
    return (
        _joined(object_of(contact.get("nickname")), "given", "family")
        or _joined(contact, "systemGivenName", "systemFamilyName")
        or _joined(contact, "profileGivenName", "profileFamilyName")
        or name_of(contact.get("username"), contact.get("e164"))
    )


def _of_json(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    for message in _objects(chat, notes):
        text = text_of(message.get("body")).strip()
        is_call = bool(message.get("call")) or bool(_CALL.fullmatch(text))
        yield from _told(text_of(message.get("sender")), text, bool(message.get("deleted")), is_call, notes)


def _of_markdown(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    for user, entry in _entries(chat, _ENTRY):
        text = _QUOTE.sub("", entry, count=1) if _QUOTE.match(entry) else entry
        text = _ATTACHED.sub("", _STICKER.sub("", _REACTIONS.sub("", text))).strip()
        yield from _told(user, text, text == _DELETED, bool(_CALL.fullmatch(text)), notes)


def _of_log(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    for user, entry in _entries(chat, _LOGGED):
        yield from _told(user, _LOGGED_REACTIONS.sub("", entry), False, bool(_POLL.fullmatch(entry)), notes)


def _entries(chat: ChatFile, begins: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Joins lines to entries, each of a writer, if any, and what stands after the name."""
    user, rest = "", list[str]()
    for line in chat.lines():
        if head := begins.match(line):
            if rest:
                yield user, "\n".join(rest)
            user, rest = head[1] or "", [line[head.end() :]]
        elif rest:
            rest.append(line)
    if rest:
        yield user, "\n".join(rest)


def _told(user: str, text: str, is_deleted: bool, is_service: bool, notes: Notes) -> Iterator[tuple[str, str]]:
    if is_deleted:
        notes.leave_out("deleted message", text)
    elif is_service or user in ("", _NOBODY):
        notes.leave_out("service message", text)
    elif not text:
        notes.leave_out("empty message", "a picture, a sticker or the like")
    else:
        yield user, text


def _objects(chat: ChatFile, notes: Notes) -> Iterator[Mapping[str, Any]]:
    for line in filter(str.strip, chat.lines()):
        try:
            yield object_of(json.loads(line))
        except (ValueError, RecursionError):
            notes.leave_out("broken line", line)


def _joined(table: Mapping[str, Any], *keys: str) -> str:
    return " ".join(filter(None, (text_of(table.get(key)) for key in keys)))


def _once(files: list[InputFile]) -> list[InputFile]:
    """Leaves out the `chat.md` beside a `data.json`, which says the same."""
    twice = {PurePath(file.path).parent for file in files if PurePath(file.path).name == "data.json"}
    return [file for file in files if not (file.path.endswith("/chat.md") and PurePath(file.path).parent in twice)]


FORMAT = ChatFormat(
    title="Signal",
    files=(
        '`main.jsonl` of Signal\'s own export; `data.json` or `chat.md` of signal-export, where you are "Me"; '
        "the texts of signalbackup-tools"
    ),
    users="id or name in the first, the name in the others",
    changed=(
        "calls, changes of a group, polls, deleted messages, pictures without a text; former versions of "
        "edited messages"
    ),
    recognises=_recognises,
    read=_read,
    pick=_once,
)
