"""A JSON array of objects."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.messages import read_messages
from tests.pipeline.formats.chats import Example, left_out, pairs, read_chat

ROWS = [
    {"id": 1, "author": {"id": 9007199254740993, "name": "Mira"}, "content": "good evening\nall"},
    {"id": 2, "author": {"id": 8, "name": "Bo"}, "content": "é \U0001f600 \\x"},
    {"id": 3, "author": None, "content": "by nobody"},
    "stray",
    {"id": 4, "author": {"id": 8}, "content": None},
    {"id": 5, "author": {"id": 8}, "content": ""},
]
PAIRS = [("9007199254740993", "good evening\nall"), ("8", "é \U0001f600 \\x"), ("8", "")]
LEFT_OUT = {"incomplete object": 2, "stray value": 1}
FORMAT = "a JSON array, users in 'author.id', messages in 'content'"
EXAMPLES = [
    Example("chat.json", json.dumps(ROWS), PAIRS, LEFT_OUT, FORMAT),
    Example("indented.json", json.dumps(ROWS, indent=2, ensure_ascii=False), PAIRS, LEFT_OUT, FORMAT),
]


def test_json_array_reads_an_interrupted_file_up_to_its_end(tmp_path: Path) -> None:
    messages = read_chat(tmp_path / "chat.json", json.dumps(ROWS[:2])[:-20])
    assert pairs(messages) == PAIRS[:1]
    assert left_out(messages) == {"broken end": 1}
    assert messages.all_names().of("9007199254740993") == ["Mira"]


@pytest.mark.parametrize("lines", [False, True], ids=["array", "lines"])
def test_json_is_read_by_the_fields_that_are_asked_for(tmp_path: Path, lines: bool) -> None:
    rows = [{"who": "mira", "text": "no", "said": {"what": "hi"}}, {"who": "bo", "said": {"what": "ho"}}]
    path = tmp_path / "chat.json"
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    asked = CsvFormat(user_column="who", text_column="said.what")
    assert pairs(read_messages(str(path), asked)) == [("mira", "hi"), ("bo", "ho")]
    with pytest.raises(UserError) as error:
        read_messages(str(path), CsvFormat(text_column="said.what"))
    assert str(error.value).endswith(
        "Pass user_column and text_column with two of its fields, 'who', 'text', 'said.what'."
    )
    name = "json-lines" if lines else "json-array"
    with pytest.raises(UserError) as error:
        read_messages(str(path), CsvFormat(format=name, user_column="nobody", text_column="said.what"))
    assert str(error.value) == (
        f"{path} has no row with the fields 'nobody' and 'said.what'. Fields are: 'who', 'text', 'said.what'. "
        "Pass user_column and text_column with two of them."
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8")))))
def test_json_array_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, chat: list[tuple[str, str]]
) -> None:
    chat = [("mira", "first"), *chat]
    path = tmp_path_factory.mktemp("chat") / "chat.json"
    content = json.dumps([{"user": user, "text": text} for user, text in chat], ensure_ascii=False)
    assert pairs(read_chat(path, content)) == chat
