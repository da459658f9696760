"""JSON lines under the names that exporters use."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.formats.chats import Example, pairs, read_chat

ROWS = {
    "user and text": {"id": 1, "user": "mira", "text": "hi\nyou"},
    "sender and message": {"sender": "mira", "message": "hi\nyou"},
    "nested": {"fromUser": {"id": "mira", "name": "M"}, "text": "hi\nyou"},
    "other letters": {"Author ID": "mira", "Content": "hi\nyou"},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_json_lines_finds_the_usual_names(tmp_path: Path, row: dict) -> None:
    messages = read_chat(tmp_path / "chat.jsonl.gz", gzip.compress(json.dumps(row).encode() + b"\r\n"))
    assert pairs(messages) == [("mira", "hi\nyou")]


LINES = [
    '{"user": 9007199254740993, "text": "one"}',
    "",
    "{broken",
    "[1]",
    '{"user": "bo", "text": null}',
    '{"user": "bo", "text": ""}',
]
EXAMPLES = [
    Example(
        "chat.jsonl",
        "\n".join(LINES),
        [("9007199254740993", "one"), ("bo", "")],
        {"broken line": 2, "incomplete object": 1},
        "JSON lines, users in 'user', messages in 'text'",
    )
]


def test_json_lines_is_told_in_a_line(tmp_path: Path) -> None:
    messages = read_chat(tmp_path / "chat.json", "\n".join(LINES))
    assert str(messages.chats[0]) == (
        "JSON lines, users in 'user', messages in 'text': 2 messages of 2 people, "
        "2 broken lines and 1 incomplete object left out"
    )


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8")))))
@pytest.mark.slow
def test_json_lines_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, chat: list[tuple[str, str]]
) -> None:
    chat = [("mira", "first"), *chat]
    path = tmp_path_factory.mktemp("chat") / "chat.jsonl"
    content = "\n".join(json.dumps({"user": user, "text": text}, ensure_ascii=False) for user, text in chat)
    assert pairs(read_chat(path, content)) == chat
