"""Facebook's, Instagram's and Messenger's JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline.formats.messages import read_messages
from tests.pipeline.formats.chats import Example, left_out, pairs, read_chat


def as_latin_1(text: str) -> str:
    return text.encode(errors="replace").decode("latin-1")


def said(time: int, content: str | None, user: str = "Zoë Sand", **more: Any) -> dict[str, Any]:
    text = {} if content is None else {"content": as_latin_1(content)}
    return {"sender_name": as_latin_1(user), "timestamp_ms": time, **text, "is_geoblocked_for_viewer": False, **more}


def thread(*messages: dict[str, Any]) -> str:
    people = [{"name": as_latin_1("Zoë Sand")}, {"name": "Bo Berg"}]
    newest_first = list(reversed(messages))
    return json.dumps({"participants": people, "messages": newest_first, "title": "Bo", "thread_path": "inbox/bo_1"})


OLDEST = [said(1, "Zoë Sand created the group.", type="Generic"), said(2, "the very first", "Bo Berg")]
MESSAGES = [
    said(3, "déjà vu ❤️ 😀"),
    said(4, None, "Bo Berg", photos=[{"uri": "photos/1.jpg"}]),
    said(5, "Reacted ❤ to your message ", "Bo Berg"),
    said(6, "Bo Berg reacted 😆 to your message", "Bo Berg"),
    said(7, "Liked a message"),
    said(8, "Ha reaccionado 😍 a tu mensaje "),
    said(9, "Ha reaccionado 😮 a tu mensaje "),
    said(10, "Ha reaccionado 👍 a tu mensaje ", "Bo Berg"),
    said(11, "I know 😍 you do "),
    said(12, "gone", is_unsent=True),
    said(13, "Bo Berg missed your call.", "Bo Berg", call_duration=0),
    said(14, "Zoë Sand hat den Gruppennamen in Boote geändert.", type="Generic"),
    said(15, "You sent an attachment."),
    said(16, "You sent it already."),
    said(17, "Bo Berg sent an attachment.", "Bo Berg", share={"link": "https://boats.example"}),
    said(18, "look at https://boats.example", "Bo Berg", share={"link": "https://boats.example"}, type="Share"),
    said(18, "two\nlines of the same time"),
    said(19, "Zoë Sand is my name"),
    said(20, "signed by nobody", ""),
]
PAIRS = [
    ("Bo Berg", "the very first"),
    ("Zoë Sand", "déjà vu ❤️ 😀"),
    ("Zoë Sand", "I know 😍 you do "),
    ("Zoë Sand", "You sent it already."),
    ("Bo Berg", "look at https://boats.example"),
    ("Zoë Sand", "two\nlines of the same time"),
    ("Zoë Sand", "Zoë Sand is my name"),
]
LEFT_OUT = {
    "service message": 5,
    "empty message": 1,
    "reaction": 6,
    "deleted message": 1,
    "unsigned message": 1,
}
EXAMPLES = [
    Example("message_1.json", thread(*OLDEST, *MESSAGES), PAIRS, LEFT_OUT, "Facebook or Instagram"),
]


def test_facebook_reads_what_people_wrote_from_the_oldest_on(tmp_path: Path) -> None:
    inbox = tmp_path / "your_facebook_activity" / "messages" / "inbox"
    for folder, number, content in [
        ("bo_1", 1, thread(said(40, "the very last"))),
        ("bo_1", 10, thread(*OLDEST)),
        ("bo_1", 2, thread(*MESSAGES)),
        ("zoe_2", 1, thread(said(0, "of another thread"))),
    ]:
        (inbox / folder).mkdir(parents=True, exist_ok=True)
        (inbox / folder / f"message_{number}.json").write_text(content)
    (tmp_path / "posts.json").write_text('[{"data": [{"post": "no message"}]}]')
    messages = read_messages(str(tmp_path))
    assert pairs(messages) == [*PAIRS, ("Zoë Sand", "the very last"), ("Zoë Sand", "of another thread")]
    assert left_out(messages) == LEFT_OUT
    assert messages.noticed.formats[0].startswith(f"{tmp_path} is Facebook or Instagram: 9 messages of 2 people, ")


def kept(time: int, text: str, kind: str = "text", **more: Any) -> dict[str, Any]:
    return {
        "isUnsent": False,
        "media": [],
        "senderName": "Zoë",
        "text": text,
        "timestamp": time,
        "type": kind,
        **more,
    }


ENCRYPTED = [
    kept(5, "Ã© stays"),
    kept(4, "", "media", media=[{"uri": "./media/1.jpeg"}]),
    kept(3, "gone", isUnsent=True),
    kept(2, "You missed a call", "placeholder"),
    kept(1, "déjà vu ❤"),
]
EXAMPLES.append(
    Example(
        "Bo_40.json",
        json.dumps({"participants": ["Zoë", "Bo"], "threadName": "Bo_40", "messages": ENCRYPTED}),
        [("Zoë", "déjà vu ❤"), ("Zoë", "Ã© stays")],
        {"service message": 1, "deleted message": 1, "empty message": 1},
        "Facebook or Instagram",
    )
)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85"), min_size=1), max_size=5))
@pytest.mark.slow
def test_facebook_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    texts = [f"so {text}" for text in ["a", *texts]]
    path = tmp_path_factory.mktemp("chat") / "message_1.json"
    read = read_chat(path, thread(*(said(time, text) for time, text in enumerate(texts))))
    assert [text for _, text in pairs(read)] == texts
