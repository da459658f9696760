"""Discord, as DiscordChatExporter writes it."""

import json
from pathlib import Path

from tests.pipeline.formats.chats import Example, left_out, pairs, read_chat

MIRA = {"id": "90071992547409931", "name": "mira", "discriminator": "0000", "nickname": "Captain", "isBot": False}
OLD = {"id": "90071992547409932", "name": "mira", "discriminator": "4321", "nickname": "Cook", "isBot": False}
BOT = {"id": "90071992547409933", "name": "helper", "discriminator": "0001", "nickname": "helper", "isBot": True}


def message(content: str, author: dict, kind: str = "Default") -> dict:
    return {"id": "1", "type": kind, "isPinned": False, "content": content, "author": author, "attachments": []}


EXPORT = {
    "guild": {"id": "1", "name": "Boats"},
    "channel": {"id": "2", "type": "GuildTextChat", "name": "harbour"},
    "dateRange": {"after": None, "before": None},
    "messages": [
        message("", MIRA, "GuildMemberJoin"),
        message("good evening\nall", MIRA),
        message("same name, other person", OLD, "Reply"),
        message("I am a bot", BOT),
        message("Pinned a message.", OLD, "ChannelPinnedMessage"),
        message("", MIRA),
        message('\ud83d\ude00 {"a": [1]}', {"id": 90071992547409934}),
        message("tea?", MIRA | {"nickname": "Admiral"}, "Reply"),
    ],
    "messageCount": 8,
}
PAIRS = [
    (MIRA["id"], "good evening\nall"),
    (OLD["id"], "same name, other person"),
    ("90071992547409934", '\U0001f600 {"a": [1]}'),
    (MIRA["id"], "tea?"),
]
LEFT_OUT = {"system message": 2, "bot message": 1, "empty message": 1}
EXAMPLES = [
    Example("harbour.json", json.dumps(EXPORT), PAIRS, LEFT_OUT, "Discord"),
    Example("indented.json", json.dumps(EXPORT, indent=2), PAIRS, LEFT_OUT, "Discord"),
]


def test_discord_tells_what_people_are_called(tmp_path: Path) -> None:
    messages = read_chat(tmp_path / "harbour.json", json.dumps(EXPORT))
    names = messages.all_names()
    assert names.of(str(MIRA["id"])) == ["mira", "Captain", "Admiral"]
    assert names.of(str(OLD["id"])) == ["mira#4321", "Cook"]
    assert str(messages.chats[0]) == (
        "Discord: 4 messages of 3 people, 2 system messages, 1 bot message and 1 empty message left out"
    )


def test_discord_reads_an_interrupted_export_up_to_its_end(tmp_path: Path) -> None:
    content = json.dumps(EXPORT, indent=2)
    messages = read_chat(tmp_path / "harbour.json", content[: content.index("tea?")])
    assert pairs(messages) == PAIRS[:-1]
    assert left_out(messages)["broken end"] == 1
