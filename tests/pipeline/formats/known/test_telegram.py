"""Telegram's result.json, of one chat and of all."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.formats.chats import Example, left_out, pairs, read_chat

IDS = {"Mira": "user7", "Miranda": "user7", "Bo": "user8"}


def message(text: object, user: str | None = "Mira", **more: object) -> dict:
    return {
        "id": 1,
        "type": "message",
        "date": "2024-01-02T10:00:00",
        "date_unixtime": "1704189600",
        "from": user,
        "from_id": IDS.get(user or ""),
        "text": text,
        **more,
    }


MESSAGES = [
    {"id": 0, "type": "service", "date_unixtime": "1", "actor": "Mira", "action": "create_group", "text": ""},
    message("good evening"),
    message(["see ", {"type": "link", "text": "boats.example"}, {"type": "bold", "text": "now"}, "!"], "Bo"),
    message("who am I?", None, from_id="user9"),
    message("", media_type="sticker"),
    message("old words", forwarded_from="Zoe"),
    message("hidden words", forwarded_from=None, forwarded_from_id=None),
    message("two\nlines, a \\ and a \\x1f", "Miranda"),
    message("from an old export", "Zoe"),
    message("a picture of the bot", via_bot="@pic"),
]
PAIRS = [
    ("user7", "good evening"),
    ("user8", "see boats.examplenow!"),
    ("user9", "who am I?"),
    ("user7", "hidden words"),
    ("user7", "two\nlines, a \\ and a \\x1f"),
    ("Zoe", "from an old export"),
]
ONE = {"name": "Boats", "type": "private_group", "id": 9007199254740993, "messages": MESSAGES}
ALL = {
    "about": "Here is the data you requested. Telegram kept it.",
    "personal_information": {"user_id": 7},
    "chats": {"about": "", "list": [ONE | {"messages": MESSAGES[:2]}, ONE | {"messages": MESSAGES[2:4]}]},
    "left_chats": {"about": "", "list": [ONE | {"messages": MESSAGES[4:]}]},
}


LEFT_OUT = {"service message": 1, "empty message": 1, "forwarded message": 1, "bot message": 1}
EXAMPLES = [
    Example(name, json.dumps(content, indent=indent), PAIRS, LEFT_OUT, "Telegram")
    for name, content in {"one.json": ONE, "all.json": ALL}.items()
    for indent in (1, None)
]


def test_telegram_tells_what_people_are_called(tmp_path: Path) -> None:
    messages = read_chat(tmp_path / "result.json", json.dumps(ONE))
    assert [messages.all_names().of(user) for user in ("user7", "user8", "user9", "Zoe")] == [
        ["Mira", "Miranda"],
        ["Bo"],
        [],
        [],
    ]


def test_telegram_reads_controls_that_are_no_json(tmp_path: Path) -> None:
    content = json.dumps({**ONE, "messages": [message("a@b"), message("c\\xd"), message("e\\@")]})
    messages = read_chat(tmp_path / "result.json", content.replace("@", "\\x1f"))
    assert [text for _, text in pairs(messages)] == ["a\x1fb", "c\\xd", "e\\\x1f"]


def test_telegram_reads_an_interrupted_export_up_to_its_end(tmp_path: Path) -> None:
    whole = json.dumps({**ONE, "messages": [message("good evening"), message("lost")]})
    messages = read_chat(tmp_path / "result.json", whole[: whole.index("lost")])
    assert pairs(messages) == [("user7", "good evening")]
    assert left_out(messages) == {"broken end": 1}


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=1, max_size=5), st.integers(0, 70000))
@pytest.mark.slow
def test_telegram_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, chat: list[tuple[str, str]], before: int
) -> None:
    content = {**ONE, "messages": [message(text, user) for user, text in chat], "end": "\\" * before}
    path = tmp_path_factory.mktemp("chat") / "result.json"
    said = [(user.encode(errors="replace").decode(), text.encode(errors="replace").decode()) for user, text in chat]
    assert pairs(read_chat(path, json.dumps(content))) == said
