"""Slack's export, a folder or an archive."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline.formats.messages import read_messages
from tests.pipeline.formats.chats import Example, left_out, pairs

USERS = [
    {"id": "U1", "name": "mira.s", "profile": {"display_name": "Mira", "real_name": "Mira Sand"}},
    {"id": "U2", "name": "bo", "real_name": "Bo Berg", "profile": {"display_name": ""}, "deleted": True},
    {"id": "U3", "name": "zoe", "profile": {}},
    {"id": "U4", "name": "clock", "is_bot": True, "profile": {"real_name": "Clock"}},
]
CHANNELS = [{"id": "C1", "name": "harbour"}, {"id": "C2", "name": "kitchen"}]


def said(time: float, text: str, user: str = "U1", **more: Any) -> dict[str, Any]:
    return {"type": "message", "user": user, "text": text, "ts": f"{1_700_000_000 + time:.6f}", **more}


JOINED = said(0, "<@U1> has joined the channel", subtype="channel_join")
FIRST_DAY = [
    JOINED,
    said(1, "good evening"),
    said(2, "<@U1>: see <https://boats.example/a?b=1&amp;c=2|the boats> or <https://boats.example>", "U2"),
    said(9, "too late", "U3", thread_ts=f"{1_700_000_001:.6f}", subtype="thread_broadcast"),
    said(3, "in <#C2> &amp; <#C1|harbour>, &lt;b&gt; &quot;", "U3"),
    said(4, "an answer", "U2", thread_ts=f"{1_700_000_001:.6f}", parent_user_id="U1"),
    said(9, "too late", "U3", thread_ts=f"{1_700_000_001:.6f}", subtype="thread_broadcast"),
    said(5, "<!here> <!subteam^S1|@crew>: <mailto:mira@boats.example|mira@boats.example>, <@U9>, <@U8|ida>"),
    said(6, "waves", subtype="me_message"),
    {"type": "message", "subtype": "bot_message", "bot_id": "B1", "text": "It is six.", "ts": "1700000006.500000"},
    said(7, "Tick", "U4"),
    said(7.5, "posted by a program", bot_id="B2"),
    said(7.6, "Reminder: tea", "USLACKBOT"),
]
SECOND_DAY = [
    said(86401, "", files=[{"id": "F1"}]),
    said(86402, "look", files=[{"id": "F2"}], subtype="file_share"),
    said(86403, "<@U1|mira> uploaded a file: <https://f.example/7|7.png> and commented: mine", subtype="file_share"),
    said(86404, "<@U1|mira> uploaded a file: <https://f.example/7|7.png>", subtype="file_share"),
    said(86405, "I am new", "U7", user_profile={"display_name": "Ida", "real_name": "Ida Holm"}),
    said(86406, "This message was deleted.", "USLACKBOT", subtype="tombstone"),
    said(86407, "two\nlines  \U0001f600 :wave:"),
]
PAIRS = [
    ("U1", "good evening"),
    ("U2", "@Mira: see the boats or https://boats.example"),
    ("U3", "in #kitchen & #harbour, <b> &quot;"),
    ("U2", "an answer"),
    ("U1", "@here @crew: mira@boats.example, @U9, @ida"),
    ("U1", "waves"),
    ("U3", "too late"),
    ("U1", "look"),
    ("U1", "mine"),
    ("U7", "I am new"),
    ("U1", "two\nlines  \U0001f600 :wave:"),
    ("U2", "tea?"),
]
TREE = {
    "users.json": USERS,
    "channels.json": CHANNELS,
    "integration_logs.json": [{"user_id": "U1", "date": "1700000000", "reason": "added"}],
    "harbour/2023-11-14.json": FIRST_DAY,
    "harbour/2023-11-15.json": SECOND_DAY,
    "harbour/2023-11-16.json": [],
    "kitchen/2023-11-14.json": [said(20, "tea?", "U2")],
}


def written(folder: Path, tree: dict[str, object]) -> Path:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=4))
    return folder


def zipped(path: Path, tree: dict[str, object]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in tree.items():
            archive.writestr(name, json.dumps(content))
    return path


@pytest.mark.parametrize("as_archive", [False, True], ids=["folder", "archive"])
def test_slack_reads_what_people_wrote(tmp_path: Path, as_archive: bool) -> None:
    path = zipped(tmp_path / "slack.zip", TREE) if as_archive else written(tmp_path / "slack", TREE)
    messages = read_messages(str(path))
    assert pairs(messages) == PAIRS
    assert left_out(messages) == {
        "service message": 1,
        "bot message": 5,
        "repeated message": 1,
        "empty message": 2,
    }
    assert messages.noticed.formats == (
        f"{path} is Slack: 12 messages of 4 people, 1 service message, 5 bot messages, 1 repeated message and "
        "2 empty messages left out",
    )


# Without the export around it, a day has no names and no bots.
DAY = [said(1, "good &lt;evening&gt;"), said(0, "first", "U2"), JOINED, said(2, "It is six.", bot_id="B1"), said(3, "")]
EXAMPLES = [
    Example(
        "2023-11-14.json",
        json.dumps(DAY, indent=4),
        [("U2", "first"), ("U1", "good <evening>")],
        {"service message": 1, "bot message": 1, "empty message": 1},
        "Slack",
    )
]


def test_slack_tells_what_people_are_called(tmp_path: Path) -> None:
    names = read_messages(str(written(tmp_path, TREE))).all_names()
    assert [names.of(user) for user in ("U1", "U2", "U3", "U7")] == [["Mira"], ["Bo Berg"], ["zoe"], ["Ida"]]


def test_slack_reads_a_channel_and_a_day_with_the_names_of_the_export(tmp_path: Path) -> None:
    written(tmp_path, TREE)
    assert pairs(read_messages(str(tmp_path / "harbour"))) == PAIRS[:-1]
    assert pairs(read_messages(str(tmp_path / "harbour" / "2023-11-14.json"))) == PAIRS[:7]


def test_slack_reads_a_day_without_an_export_around(tmp_path: Path) -> None:
    written(tmp_path, {"day.json": [said(1, "<@U1> in <#C1|>")]})
    assert pairs(read_messages(str(tmp_path / "day.json"))) == [("U1", "@U1 in #C1")]


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_slack_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    escaped = [text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for text in texts]
    tree: dict[str, object] = {"harbour/2023-11-14.json": [said(time, text) for time, text in enumerate(escaped)]}
    read = pairs(read_messages(str(written(tmp_path_factory.mktemp("slack"), tree))))
    assert read == [("U1", text.encode(errors="replace").decode()) for text in texts]
