"""A Matrix room, as Element exports it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.formats.chats import Example, pairs, read_chat

MIRA, BO, BOT = "@mira:boats.example", "@bo:boats.example", "@clock:boats.example"


def event(number: int, content: dict[str, Any], sender: str = MIRA, kind: str = "m.room.message", **more: Any) -> dict:
    return {
        "type": kind,
        "event_id": f"${number}",
        "sender": sender,
        "origin_server_ts": number,
        "content": content,
        **more,
    }


def said(number: int, body: str, sender: str = MIRA, msgtype: str = "m.text", **content: Any) -> dict[str, Any]:
    return event(number, {"msgtype": msgtype, "body": body, **content}, sender)


def edit(number: int, of: int, body: str, sender: str = MIRA) -> dict[str, Any]:
    new = {"msgtype": "m.text", "body": body}
    return said(
        number,
        f"* {body}",
        sender,
        **{"m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": f"${of}"}},
    )


def joins(number: int, user: str, name: str) -> dict[str, Any]:
    return event(number, {"membership": "join", "displayname": name}, user, "m.room.member", state_key=user)


REPLY = {"m.relates_to": {"m.in_reply_to": {"event_id": "$4"}}}
BUNDLED = {"m.relations": {"m.replace": {"content": {"m.new_content": {"msgtype": "m.text", "body": "edited below"}}}}}
EVENTS = [
    joins(1, MIRA, "mira"),
    joins(2, BO, "Bo"),
    event(3, {"topic": "Boats"}, kind="m.room.topic"),
    said(4, "god evening"),
    said(5, f"> <{MIRA}> god evening\n> and more\n\nand to you\n\n> not a quotation", BO, **REPLY),
    said(6, f"> * <{MIRA}> waves\n\n**hi**", BO, format="org.matrix.custom.html", **REPLY),
    said(7, "> a quotation of my own\n\nyes"),
    said(8, "waves", msgtype="m.emote"),
    said(9, "It is six.", BOT, "m.notice"),
    edit(10, 4, "good evenig"),
    edit(11, 4, "good evening"),
    edit(12, 5, "words in somebody's mouth"),
    event(13, {}, BO, unsigned={"redacted_because": {"type": "m.room.redaction"}}),
    said(14, "taken back"),
    event(15, {"reason": "oops"}, kind="m.room.redaction", redacts="$14"),
    said(16, "boat.jpg", msgtype="m.image", url="mxc://boats.example/1"),
    said(17, "my boat", msgtype="m.image", filename="boat.jpg", url="mxc://boats.example/1"),
    said(18, "boat.pdf", msgtype="m.file", filename="boat.pdf", url="mxc://boats.example/2"),
    event(19, {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"}, BO, "m.room.encrypted"),
    said(20, "** Unable to decrypt: no key **", BO, "m.bad.encrypted"),
    event(21, {"m.relates_to": {"rel_type": "m.annotation", "key": "👍", "event_id": "$4"}}, BO, "m.reaction"),
    {**said(22, "before"), "unsigned": BUNDLED},
    joins(23, MIRA, "Mira"),
    said(24, "in a thread\nof two lines", BO, **{"m.relates_to": {"rel_type": "m.thread", "event_id": "$4"}}),
    said(25, "from elsewhere", "@ida:sea.example"),
]
EXPORT = {
    "room_name": "Boats",
    "room_creator": "Mira",
    "topic": "",
    "export_date": "1/2/2024",
    "exported_by": "Mira",
    "messages": EVENTS,
}
PAIRS = [
    (MIRA, "good evening"),
    (BO, "and to you\n\n> not a quotation"),
    (BO, "**hi**"),
    (MIRA, "> a quotation of my own\n\nyes"),
    (MIRA, "waves"),
    (MIRA, "my boat"),
    (MIRA, "edited below"),
    (BO, "in a thread\nof two lines"),
    ("@ida:sea.example", "from elsewhere"),
]
LEFT_OUT = {
    "service event": 6,
    "bot message": 1,
    "edit": 3,
    "deleted message": 2,
    "media message": 2,
    "encrypted message": 2,
}
EXAMPLES = [Example("export.json", json.dumps(EXPORT, indent=2), PAIRS, LEFT_OUT, "Matrix")]


def test_matrix_tells_the_last_name_of_each(tmp_path: Path) -> None:
    names = read_chat(tmp_path / "export.json", json.dumps(EXPORT)).all_names()
    assert [names.of(user) for user in (MIRA, BO, "@ida:sea.example")] == [["Mira"], ["Bo"], []]


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip() and text[0] != ">")


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from([MIRA, BO]), TEXTS, st.none() | TEXTS), min_size=1, max_size=5))
def test_matrix_gives_back_what_was_written_and_edited(
    tmp_path_factory: pytest.TempPathFactory, chat: list[tuple[str, str, str | None]]
) -> None:
    events = [said(number, text, user) for number, (user, text, _) in enumerate(chat)]
    edits = [edit(100 + number, number, new, user) for number, (user, _, new) in enumerate(chat) if new]
    path = tmp_path_factory.mktemp("chat") / "export.json"
    read = read_chat(path, json.dumps({**EXPORT, "messages": events + edits}))
    assert pairs(read) == [(user, new or text) for user, text, new in chat]
