"""CSV files that are not written as asked for: read where one way is plausible, and told in a line."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.messages import read_messages
from charflow.pipeline.formats.usual_columns import USUAL
from tests.pipeline.formats.chats import pairs, read_chat

CHAT = "fromUser.id,text\nmira,café\nada,ok\n"
PAIRS = [("mira", "café"), ("ada", "ok")]
OWN = "columns 'fromUser.id' and 'text'"
READ = {
    "semicolons": (CHAT.replace(",", ";").encode(), f"CSV split at semicolons, {OWN}"),
    "tabs": (CHAT.replace(",", "\t").encode(), f"CSV split at tabs, {OWN}"),
    "bars": (CHAT.replace(",", "|").encode(), f"CSV split at bars, {OWN}"),
    "cp1252": (CHAT.encode("cp1252"), f"CSV, in cp1252 (it then reads 'café'), {OWN}"),
    "European Excel": (
        b"sep=;\r\n" + CHAT.replace(",", ";").replace("\n", "\r\n").encode("cp1252"),
        f"CSV, in cp1252 (it then reads 'café'), {OWN}",
    ),
    "semicolons in cp1252": (
        CHAT.replace(",", ";").encode("cp1252"),
        f"CSV split at semicolons, in cp1252 (it then reads 'café'), {OWN}",
    ),
    "UTF-16": (CHAT.replace(",", ";").encode("utf-16"), f"CSV split at semicolons, {OWN}"),
    "UTF-16 without a mark": (CHAT.encode("utf-16-be"), f"CSV, in utf-16-be, {OWN}"),
    "UTF-32 without a mark": (CHAT.encode("utf-32-le"), f"CSV, in utf-32-le, {OWN}"),
    "trailing blanks": (
        CHAT.replace("fromUser.id,text", "fromUser.id ,text ").encode(),
        "CSV, columns 'fromUser.id ' and 'text '",
    ),
    "blanks and quotes": (
        '"fromUser.id", "text"\n"mira", "café"\n"ada", "ok"\n'.encode(),
        f"CSV, {OWN}",
    ),
    "capitals, a mark": (
        ("\ufeff" + CHAT.replace("fromUser.id,text", "FROMUSER_ID,Text")).encode(),
        "CSV, columns 'FROMUSER_ID' and 'Text'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "kind"), READ.values(), ids=READ)
def test_csv_is_read_where_one_way_is_plausible(content: bytes, kind: str, tmp_path: Path) -> None:
    messages = read_chat(tmp_path / "chat.csv", content)
    assert pairs(messages) == PAIRS
    assert messages.noticed.formats == (f"{tmp_path / 'chat.csv'} is {kind}: 2 messages of 2 people",)
    assert str(messages.chats[0]) == f"{kind}: 2 messages of 2 people"


@pytest.mark.parametrize("user", USUAL["user_column"])
def test_csv_is_read_by_every_usual_name_of_users(user: str, tmp_path: Path) -> None:
    assert pairs(read_chat(tmp_path / "chat.csv", f"id,{user},sent,Message\n1,mira,now,hi\n")) == [("mira", "hi")]


@pytest.mark.parametrize("text", USUAL["text_column"])
def test_csv_is_read_by_every_usual_name_of_messages(text: str, tmp_path: Path) -> None:
    assert pairs(read_chat(tmp_path / "chat.tsv", f"id\tSender\t{text}\n1\tmira\thi\n")) == [("mira", "hi")]


@pytest.mark.parametrize("content", [b"mira,caf\xe9\n", b"caf\xe9,hi\n"], ids=["text", "user"])
def test_cp1252_is_read_in_either_column(content: bytes, tmp_path: Path) -> None:
    messages = read_chat(tmp_path / "chat.csv", b"fromUser.id,text\n" + content)
    assert pairs(messages) == [tuple(content.decode("cp1252").strip().split(","))]


def test_csv_of_discord_is_read_by_ids_that_are_text_with_names_beside(tmp_path: Path) -> None:
    content = (
        "AuthorID,Author,Date,Content,Attachments,Reactions\n"
        '"9007199254740993","mira","2024-05-06T07:08:09.0000000+00:00","café","",""\n'
        '"9007199254740994","ada","2024-05-06T07:08:10.0000000+00:00","ok","https://files/a.png","+1 (2)"\n'
        '"9007199254740993","miranda","2024-05-07T07:08:09.0000000+00:00","tea","",""\n'
    )
    messages = read_chat(tmp_path / "chat.csv", content)
    assert str(messages.chats[0]) == "CSV, columns 'AuthorID' and 'Content': 3 messages of 2 people"
    assert pairs(messages) == [("9007199254740993", "café"), ("9007199254740994", "ok"), ("9007199254740993", "tea")]
    assert messages.all_names().of("9007199254740993") == ["mira", "miranda"]
    corpus = Corpus.from_csv(str(tmp_path / "chat.csv"), user="miranda", held_out=0)
    assert corpus.vocabulary.decode(corpus.ids) == "café tea"


@pytest.mark.slow
def test_each_file_is_read_in_its_own_way(tmp_path: Path) -> None:
    for name, kind in {"a": "semicolons in cp1252", "b": "UTF-16", "c": "capitals, a mark"}.items():
        (tmp_path / f"{name}.csv").write_bytes(READ[kind][0])
    (tmp_path / "d.csv").write_text("\ufeff" + CHAT)
    messages = read_messages(str(tmp_path / "*.csv"))
    assert pairs(messages) == PAIRS * 4
    assert len(messages.noticed.formats) == 3


def test_file_with_the_columns_of_the_default_is_told_nothing_of(tmp_path: Path) -> None:
    messages = read_chat(tmp_path / "chat.csv", CHAT)
    assert (messages.chats, messages.noticed.formats) == ((), ())


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (CHAT, {"delimiter": ";"}),
        (CHAT, {"text_column": "body"}),
        ("user,text,name\nmira,hi,M\n", {}),
        ("user,message,content\nmira,hi,x\n", {}),
        ("Sender,Content,content\nmira,hi,x\n", {}),
        ("who,text\nmira,hi\n", {}),
        (CHAT + "bo\n", {}),
    ],
    ids=["a delimiter", "a column", "two of users", "two of messages", "one twice", "another name", "a bad row"],
)
def test_csv_is_refused_where_something_else_was_asked_for_or_may_be_meant(
    content: str, asked: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "chat.csv").write_text(content)
    with pytest.raises(UserError) as error:
        read_messages(str(tmp_path / "chat.csv"), CsvFormat(**asked))
    assert error.value.advice


@settings(deadline=None, max_examples=25)
@given(
    rows=st.lists(st.tuples(st.text("aé;,\t| ", min_size=1), st.text("aé;,\t|\n ")), min_size=1, max_size=5),
    delimiter=st.sampled_from(";\t|,"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
@pytest.mark.slow
def test_csv_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str, encoding: str
) -> None:
    written = "".join(delimiter.join(f'"{field}"' for field in row) + "\r\n" for row in [("Author", "Content"), *rows])
    assert pairs(read_chat(tmp_path_factory.mktemp("chat") / "chat.csv", written.encode(encoding))) == rows
