"""Names beside ids: where they stand in each format, and that reading messages is what it was."""

import csv
import doctest
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from charflow.pipeline.formats import names as module
from charflow.pipeline.formats import usual_columns
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.messages import Messages, read_messages
from charflow.pipeline.formats.usual_columns import names_beside
from tests.pipeline.formats.chats import pairs


@pytest.mark.parametrize("tested", [module, usual_columns])
def test_examples_of_the_docstrings_hold(tested: object) -> None:
    assert doctest.testmod(tested).failed == 0


@pytest.mark.parametrize(
    ("user_column", "columns", "beside"),
    [
        ("fromUser.id", "fromUser.id,fromUser.username,fromUser.displayName,room.name", "username displayName"),
        ("AuthorID", "AuthorID,Author,Date,Content", "Author"),
        ("user_id", "user_id,user_name,display name,name", "user_name"),
        ("user", "user,name,nick", "name nick"),
        ("sender", "sender,sender_name", "sender_name"),
        ("username", "username,user_id,displayname", "displayname"),
        ("fromUser.username", "fromUser.username,fromUser.displayName,fromUser.id", "displayName"),
        ("from_id", "from_id,from,text", "from"),
        ("user", "user,text,when", ""),
    ],
)
def test_names_beside_finds_the_columns_of_names(user_column: str, columns: str, beside: str) -> None:
    found = names_beside(user_column, columns.split(","))
    assert " ".join(name.removeprefix("fromUser.") for name in found) == beside


HEADER = ["fromUser.id", "fromUser.username", "fromUser.displayName", "text"]
ROWS = [
    ["id7", "mira", "Mira", "hi"],
    ["id8", "ada", "Mira", "ho"],
    ["id7", "mira", "Mira of the boats", "hey"],
    ["id7", "", "Mira of the boats", "hum"],
    ["id9", "id9", "", "hm"],
]
NAMES = {"id7": ["mira", "Mira of the boats", "Mira"], "id8": ["ada", "Mira"], "id9": []}


def of_all(messages: Messages) -> dict[str, list[str]]:
    found = messages.all_names()
    return {user: found.of(user) for user, _ in dict(pairs(messages)).items()}


def as_csv(path: Path) -> CsvFormat:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *ROWS])
    return CsvFormat()


def with_repeated_headers(path: Path) -> CsvFormat:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *ROWS[:2], HEADER, *ROWS[2:]])
    return CsvFormat()


def with_a_bad_row(path: Path) -> CsvFormat:
    as_csv(path)
    path.write_bytes(path.read_bytes() + b"id7,x,y,caf\xe9\r\n")
    return CsvFormat(skip_bad_rows=True)


def as_utf16(path: Path) -> CsvFormat:
    with path.open("w", newline="", encoding="utf-16") as file:
        csv.writer(file).writerows([HEADER, *ROWS])
    return CsvFormat()


@pytest.mark.slow
@pytest.mark.parametrize("write", [as_csv, with_repeated_headers, with_a_bad_row, as_utf16])
def test_all_names_reads_the_columns_beside_the_ids(write: Callable[[Path], CsvFormat], tmp_path: Path) -> None:
    messages = read_messages(str(tmp_path / "chat.csv"), write(tmp_path / "chat.csv"))
    assert of_all(messages) == NAMES
    assert pairs(messages) == [(row[0], row[3]) for row in ROWS]
    assert [user.decode() for users in messages.users().as_numpy_iterator() for user in users] == [r[0] for r in ROWS]


def test_all_names_joins_those_of_several_files(tmp_path: Path) -> None:
    as_csv(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("fromUser.id,text\nid1,hi\n")
    (tmp_path / "c.jsonl").write_text(json.dumps({"userId": "id7", "username": "miranda", "text": "hi"}))
    found = read_messages([str(tmp_path / name) for name in ("a.csv", "b.csv", "c.jsonl")]).all_names()
    assert (found.of("id7"), found.of("id1")) == (["mira", "Mira of the boats", "miranda", "Mira"], [])


def test_names_of_json_lines_stand_beside_the_id(tmp_path: Path) -> None:
    rows = [
        {"author": {"id": 7, "name": "mira", "displayName": "Mira"}, "content": "hi"},
        {"author": {"id": 7, "name": None}, "content": "ho"},
    ]
    (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))
    messages = read_messages(str(tmp_path / "chat.jsonl"))
    assert (pairs(messages), of_all(messages)) == ([("7", "hi"), ("7", "ho")], {"7": ["mira", "Mira"]})


def test_messages_without_names_have_none(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text("fromUser.id,text\nid1,hi\n")
    assert of_all(read_messages(str(tmp_path / "chat.csv"))) == {"id1": []}
