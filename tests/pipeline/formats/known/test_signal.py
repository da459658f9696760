"""Signal's own export, and what signal-export writes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline.formats.messages import read_messages
from tests.pipeline.formats.chats import Example, left_out, pairs, read_chat


def item(author: str, **message: Any) -> dict[str, Any]:
    return {"chatItem": {"chatId": "1", "authorId": author, "dateSent": "1700000000000", "incoming": {}, **message}}


def said(author: str, text: str, **more: Any) -> dict[str, Any]:
    return item(author, standardMessage={"text": {"body": text}, **more})


FRAMES = [
    {"version": "1", "backupTimeMs": "1700000000000", "mediaRootBackupKey": "AAAA"},
    {"account": {"givenName": "Mira", "familyName": "Sand", "username": "mira.01"}},
    {"recipient": {"id": "1", "self": {}}},
    {"recipient": {"id": "2", "contact": {"profileGivenName": "Bo", "profileFamilyName": "Berg", "e164": "4930123"}}},
    {"recipient": {"id": "3", "contact": {"nickname": {"given": "Zoe"}, "profileGivenName": "Z", "e164": "4930124"}}},
    {"recipient": {"id": "4", "contact": {"e164": "4930125"}}},
    {"recipient": {"id": "5", "group": {"snapshot": {"title": {"title": "Boats"}}}}},
    {"chat": {"id": "1", "recipientId": "5"}},
    item("1", updateMessage={"groupChange": {"updates": []}}),
    said("1", "good evening\nall"),
    said("2", "and to you", quote={"authorId": "1", "text": {"body": "good evening"}}, reactions=[{"emoji": "👍"}]),
    item("2", standardMessage={"attachments": [{"pointer": {}}]}),
    item("3", stickerMessage={"sticker": {"emoji": "👋"}}),
    item("3", remoteDeletedMessage={}),
    said("3", "now right", revisions=[said("3", "now rihgt")["chatItem"]]),
    item("3", directStoryReplyMessage={"textReply": {"text": {"body": "fine story"}}}),
    said("4", "who am I?"),
]


OWN_PAIRS = [
    ("1", "good evening\nall"),
    ("2", "and to you"),
    ("3", "now right"),
    ("3", "fine story"),
    ("4", "who am I?"),
]
OWN_LEFT_OUT = {"service message": 1, "empty message": 2, "deleted message": 1}


def test_signal_reads_its_own_export(tmp_path: Path) -> None:
    lines = "".join(f"{json.dumps(frame)}\n" for frame in FRAMES)
    (tmp_path / "metadata.json").write_text('{"version": 1}')
    (tmp_path / "files").mkdir()
    (tmp_path / "main.jsonl").write_text(lines + "{broken\n")
    messages = read_messages(str(tmp_path))
    assert pairs(messages) == OWN_PAIRS
    assert left_out(messages) == OWN_LEFT_OUT | {"broken line": 1}
    assert str(messages.chats[0]).startswith("Signal: 5 messages of 4 people, 1 service message, 2 empty messages, ")
    names = messages.all_names()
    assert [names.of(user) for user in "1234"] == [["Mira Sand"], ["Bo Berg"], ["Zoe"], ["4930125"]]


def row(sender: str, body: str, **more: Any) -> dict[str, Any]:
    fields = {"date": "2024-01-02T10:00:00", "sender": sender, "body": f"{body}  ", "quote": "", "sticker": None}
    return {**fields, "reactions": [], "attachments": [], **more}


ROWS = [
    row("Bo", "good evening"),
    row("Me", "and to you\n[ok]", quote="\n\n> good evening\n\n", reactions=[["Bo", "👍"]]),
    row("Bo", "", attachments=[{"name": "boat.jpg", "path": "media/boat.jpg"}]),
    row("Me", "", deleted=True),
    row("Bo", "Missed voice call", call=True, missed=True),
    row("Bo", "Incoming video call (accepted, 3m 2s)"),
    row("No-Sender", "Bo changed the name of the group"),
    row("Bo", "see: [2024] a note: yes"),
]
MARKDOWN = """\
[2024-01-02 10:00:00] Bo: good evening··

[2024-01-02 10:00:05] Me:·

> good evening
> all

and to you
[ok]··
(- Bo: 👍 -)

[2024-01-02 10:00:06] Bo:   ![boat.jpg](./media/boat.jpg)··

[2024-01-02 10:00:07] Me: (This message was deleted)

[2024-01-02 10:00:08] Bo: Missed voice call··

[2024-01-02 10:00:09] Bo: Incoming video call (accepted, 3m 2s)··

[2024-01-02 10:00:10] No-Sender: Bo changed the name of the group··

[2024-01-02 10:00:11] Bo: see: [2024] a note: yes··

[2024-01-02 10:00:12] Bo: ··
(( 👋 ))

""".replace("·", " ")
PAIRS = [("Bo", "good evening"), ("Me", "and to you\n[ok]"), ("Bo", "see: [2024] a note: yes")]
LEFT_OUT = {"empty message": 1, "deleted message": 1, "service message": 3}


def test_signal_reads_a_chat_once_that_stands_in_two_forms(tmp_path: Path) -> None:
    for name in ("Bo", "Zoe"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "chat.md").write_text(MARKDOWN)
    (tmp_path / "Bo" / "data.json").write_text("".join(f"{json.dumps(one)}\n" for one in ROWS))
    assert pairs(read_messages(str(tmp_path))) == PAIRS * 2


LOG = """\
[Jan 02, 2024 10:00:00] *** Mira Sand created the group "Boats".
[Jan 02, 2024 10:00:01] <Mira Sand> good evening (Bo Berg: 👍; Zoe: ❤️)
[Jan 02, 2024 10:00:02] <Bo Berg> and to you (both: all)
[ok]
[Jan 02, 2024 10:00:03] *** <Bo Berg> sent file "boat.jpg" (Zoe: 😀)
[Jan 02, 2024 10:00:04] <Bo Berg> Poll: tea?
                                         [2] yes
                                         [0] no
"""


LOGGED = [("Mira Sand", "good evening"), ("Bo Berg", "and to you (both: all)\n[ok]")]
DATA = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in ROWS)
EXAMPLES = [
    Example("main.jsonl", "".join(f"{json.dumps(frame)}\n" for frame in FRAMES), OWN_PAIRS, OWN_LEFT_OUT, "Signal"),
    Example("data.json", DATA, PAIRS, LEFT_OUT, "Signal"),
    Example("chat.md", MARKDOWN, PAIRS, {**LEFT_OUT, "empty message": 2}, "Signal"),
    Example("Boats (_id3).txt", LOG, LOGGED, {"service message": 3}, "Signal"),
]


def test_signal_leaves_whatsapp_its_chats(tmp_path: Path) -> None:
    said = ["10:00:00] Bo: good evening", "10:00:05] Mira: and to you  ", "10:01:00] Bo: tea?"]
    messages = read_chat(tmp_path / "_chat.txt", "".join(f"[2024-01-02 {one}\n" for one in said))
    assert messages.chats[0].format == "WhatsApp, iOS, year first"


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1)
LINES = st.lists(st.text(st.characters(codec="utf-8", categories=["L"]), min_size=1), min_size=1, max_size=3)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("1234"), TEXTS), min_size=1, max_size=5))
def test_signal_gives_back_what_its_own_export_says(
    tmp_path_factory: pytest.TempPathFactory, chat: list[tuple[str, str]]
) -> None:
    frames = [*FRAMES[:8], *(said(user, text) for user, text in chat)]
    path = tmp_path_factory.mktemp("chat") / "main.jsonl"
    assert pairs(read_chat(path, "".join(f"{json.dumps(frame)}\n" for frame in frames))) == chat


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["Bo", "Me"]), LINES), min_size=1, max_size=5))
def test_signal_gives_back_what_signal_export_says_in_both_forms(
    tmp_path_factory: pytest.TempPathFactory, chat: list[tuple[str, list[str]]]
) -> None:
    said = [(user, "\n".join(lines)) for user, lines in chat]
    written = {
        "data.json": "".join(f"{json.dumps(row(user, text))}\n" for user, text in said),
        "chat.md": "".join(f"[2024-01-02 10:00:00] {user}: {text}  \n\n" for user, text in said),
    }
    for name, content in written.items():
        assert pairs(read_chat(tmp_path_factory.mktemp("chat") / name, content)) == said
