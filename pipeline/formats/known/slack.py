"""Slack's export: a folder of folders, one a channel, with a file of messages for each day.

Whom an id means stands in `users.json` above them, how a channel is called in `channels.json` and its like.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html import unescape
from typing import Any

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.file_types import recognise
from charflow.pipeline.formats.inputs import InputFile
from charflow.pipeline.formats.json_records import records
from charflow.pipeline.formats.json_values import name_of, object_of, text_of

_STAMP = re.compile(r'"ts"\s*:\s*"\d{9,}\.\d{6}"')
_OF_PEOPLE = ("", "thread_broadcast", "me_message", "file_share")  # of the subtypes; others are written by Slack
_USERS = ("users.json", "org_users.json")
_CHANNELS = ("channels.json", "groups.json", "mpims.json")
_SLACKBOT = "USLACKBOT"
_MARKUP = re.compile(r"<([^<>]*)>")  # what people type as < and > is escaped
_ESCAPED = re.compile("&(?:amp|lt|gt);")
_UPLOADED = re.compile(r"<@\w+(?:\|[^>]*)?> (?:uploaded|shared) a file: <[^>]*>(?: and commented: )?")  # until 2018


def _recognises(chat: ChatFile) -> bool:
    head = chat.head
    return head.lstrip()[:1] == "[" and '"message"' in head and bool(_STAMP.search(head))


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    """Reads a day; it is sorted, as replies in a thread may stand below what came later."""
    people, channels = _export(chat)
    seen: set[tuple[str, str, str]] = set()
    for message in sorted(records(chat, notes, "item"), key=lambda message: text_of(message.get("ts")).zfill(20)):
        stamp, user = text_of(message.get("ts")), text_of(message.get("user"))
        text = _text(message, people, channels)
        if (stamp, user, text) in seen:  # an answer that was sent to the channel too
            notes.leave_out("repeated message", text)
        elif reason := _no_message(message, people.get(user, {})):
            notes.leave_out(reason, f"{text_of(message.get('subtype'))}: {text}".removeprefix(": "))
        else:
            called = _called(people.get(user) or object_of(message.get("user_profile")))
            yield from notes.signed(user, text, called, wordless="a file or a call")
        seen.add((stamp, user, text))


def _no_message(message: Mapping[str, Any], user: Mapping[str, Any]) -> str:
    """Says what a message is that no person wrote; empty where one did."""
    subtype = text_of(message.get("subtype"))
    if message.get("bot_id") or subtype == "bot_message" or user.get("is_bot") or message.get("user") == _SLACKBOT:
        return "bot message"
    return "" if subtype in _OF_PEOPLE and message.get("type", "message") == "message" else "service message"


def _text(
    message: Mapping[str, Any], people: Mapping[str, Mapping[str, Any]], channels: Mapping[str, Mapping[str, Any]]
) -> str:
    """Writes a text as people read it."""

    def written(found: re.Match[str]) -> str:
        target, _, label = found[1].partition("|")
        if target[:2] in ("@U", "@W", "@B"):
            return f"@{_called(people.get(target[1:], {})) or label.lstrip('@') or target[1:]}"
        if target[:2] in ("#C", "#G"):
            return f"#{label or name_of(channels.get(target[1:], {}).get('name'), target[1:])}"
        if target[:1] == "!":  # <!here>, <!subteam^S1|@crew>, <!date^1392734382^{date}|today>
            return label if label and "^" in target else f"@{target[1:].partition('^')[0]}"
        return label or target.removeprefix("mailto:").removeprefix("tel:")

    text = text_of(message.get("text"))
    if message.get("subtype") == "file_share":
        text = _UPLOADED.sub("", text, count=1)
    return _ESCAPED.sub(lambda found: unescape(found[0]), _MARKUP.sub(written, text))


def _called(user: Mapping[str, Any]) -> str:
    """The name that is shown beside a person's messages."""
    profile = object_of(user.get("profile"))
    return name_of(
        profile.get("display_name"),
        user.get("display_name"),
        profile.get("real_name"),
        user.get("real_name"),
        user.get("name"),
    )


def _export(chat: ChatFile) -> tuple[dict[str, Mapping[str, Any]], dict[str, Mapping[str, Any]]]:
    """People and channels of the export that a day belongs to, by their ids."""
    people, channels = (
        tuple(file for place in (".", "..", "../..") for name in names if (file := chat.file.beside(place, name)))
        for names in (_USERS, _CHANNELS)
    )
    return _by_id(people, _state(people)), _by_id(channels, _state(channels))


def _state(files: tuple[InputFile, ...]) -> str:
    return json.dumps([file.identity() for file in files])


@lru_cache(maxsize=2)  # the same lists for all days
def _by_id(files: tuple[InputFile, ...], state: str) -> dict[str, Mapping[str, Any]]:
    listed = (
        one for file in files for one in records(ChatFile.of(file, recognise(file), CsvFormat()), Notes(), "item")
    )
    return {text_of(one.get("id")): one for one in listed}


FORMAT = ChatFormat(
    title="Slack",
    files="export of a workspace: the `.zip` or folder with `users.json`; a channel's folder, or one day",
    users="id or name",
    changed=(
        "joins, topics and the like; bots' messages; an answer that was sent to the channel a second time. "
        "Mentions, channels and links read as people see them"
    ),
    recognises=_recognises,
    read=_read,
)
