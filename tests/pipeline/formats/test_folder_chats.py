"""Folders and archives of several files as one input."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from charflow.pipeline import Corpus, CorpusSettings, prepare_corpus
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.known import titles
from charflow.pipeline.formats.messages import Messages, read_messages
from tests.pipeline.formats.chats import pairs
from tests.pipeline.formats.known.test_discord import EXPORT, MIRA, message

WHATSAPP = "12/24/19, 11:23 - Mira: good evening\n12/24/19, 11:24 - Bo: <Media omitted>\n"
CSV = "fromUser.id,text\n{},{}\n"


def part(number: int) -> str:
    return json.dumps({**EXPORT, "messages": [message(f"part {number}", MIRA)]})


TREES = {
    "chats of one format": ({f"harbour [part {n}].json": part(n) for n in (10, 1, 2)}, ["part 1", "part 2", "part 10"]),
    "a chat and its pictures": (
        {"_chat.txt": WHATSAPP, "photo.jpg": "\xff\xd8\xff", "recipe.txt": "Eggs", "list.csv": CSV.format("x", "y")},
        ["good evening"],
    ),
    "chats of two formats": ({"a/_chat.txt": WHATSAPP, "b/d.json": part(1)}, ["part 1", "good evening"]),
    "tables": (
        {"b.csv": CSV.format("mira", "two"), "a/9.csv": CSV.format("mira", "one"), "readme.txt": "About\nthis"},
        ["one", "two"],
    ),
    "tables in many ways": (
        {
            "a.csv": CSV.format("mira", "one"),
            "b.jsonl": '{"user": "mira", "text": "two"}\n{"user": "bo", "text": "three"}\n',
        },
        ["two", "three", "one"],
    ),
    "books": ({"10.txt": "Ten", "9.txt": "Nine\n\nlives", "index.html": "<html>"}, ["Nine", "lives", "Ten"]),
}


def written(folder: Path, tree: dict[str, str]) -> Path:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode("latin-1"))
    return folder


def zipped(path: Path, tree: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in tree.items():
            archive.writestr(f"export/{name}", content.encode("latin-1"))
    return path


def texts(messages: Messages) -> list[str]:
    return [text for _, text in pairs(messages)]


@pytest.mark.slow
@pytest.mark.parametrize(("tree", "expected"), TREES.values(), ids=TREES)
def test_a_folder_and_an_archive_of_it_are_read_as_one_input(
    tree: dict[str, str], expected: list[str], tmp_path: Path
) -> None:
    assert texts(read_messages(str(written(tmp_path / "chats", tree)))) == expected
    assert texts(read_messages(str(zipped(tmp_path / "chats.zip", tree)))) == expected


def test_a_folder_of_chats_is_told_in_one_line(tmp_path: Path) -> None:
    folder = written(tmp_path / "chats", TREES["chats of one format"][0])
    (line,) = read_messages(str(folder)).noticed.formats
    assert line == f"{folder} is Discord: 3 messages of 1 person"


def test_archives_in_a_folder_are_read_too(tmp_path: Path) -> None:
    written(tmp_path, {"a/_chat.txt": WHATSAPP})
    zipped(tmp_path / "b.zip", {"_chat.txt": WHATSAPP, "photo.jpg": ""})
    zipped(tmp_path / "c.zip", {"harbour 1.json": part(1), "harbour 2.json": part(2)})
    assert texts(read_messages(str(tmp_path))) == ["part 1", "part 2", "good evening", "good evening"]


def test_a_folder_whose_columns_are_named_is_one_of_tables(tmp_path: Path) -> None:
    written(tmp_path, {"_chat.txt": WHATSAPP, "a.csv": "who,what\nmira,one\n"})
    named = CsvFormat(user_column="who", text_column="what")
    assert pairs(read_messages(str(tmp_path), named)) == [("mira", "one")]


@pytest.mark.parametrize(
    ("tree", "held"),
    [
        ({"b.html": "<html>"}, "it has no text"),
        ({"a.json": "{}", "b.html": "<html>", "c/d.json": "[]"}, "its texts are 'a.json', 'c/d.json'"),
    ],
)
def test_a_folder_without_a_chat_is_refused_in_a_sentence(tree: dict[str, str], held: str, tmp_path: Path) -> None:
    written(tmp_path, tree)
    with pytest.raises(UserError) as error:
        read_messages(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path} holds no file in a format that charflow reads ({titles()}): {held}. "
        "Export the chat as JSON, text or CSV."
    )


def test_a_damaged_file_of_a_folder_is_named(tmp_path: Path) -> None:
    written(tmp_path, {"a.csv": CSV.format("mira", "one"), "b.csv": 'fromUser.id,text\nmira,"two\n'})
    with pytest.raises(UserError, match=r"b\.csv"):
        read_messages(str(tmp_path))
    written(tmp_path, {"c.csv.gz": "\x1f\x8b\x08junk"})
    with pytest.raises(UserError, match=r"c\.csv\.gz cannot be read"):
        read_messages(str(tmp_path))


def test_names_in_an_archive_cannot_leave_its_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    with zipfile.ZipFile(tmp_path / "chats.zip", "w") as archive:
        archive.writestr(f"{outside}", WHATSAPP)
        archive.writestr("../../escaped.txt", WHATSAPP)
    assert texts(read_messages(str(tmp_path / "chats.zip"))) == ["good evening", "good evening"]
    assert not outside.exists()


def test_an_archive_with_a_password_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "chats.zip", {"a.txt": WHATSAPP, "b.txt": WHATSAPP})
    data = bytearray(path.read_bytes())
    for begins in (b"PK\x03\x04", b"PK\x01\x02"):
        at = data.find(begins)
        data[at + (6 if begins == b"PK\x03\x04" else 8)] |= 1  # "is encrypted", of the first member
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"chats\.zip cannot be unpacked: .*password"):
        read_messages(str(path))


def test_the_cache_and_a_prepared_corpus_notice_what_changes_in_a_folder(tmp_path: Path) -> None:
    folder = written(tmp_path / "chats", TREES["chats of one format"][0])
    cache, settings = CorpusCache(tmp_path / "cache"), CorpusSettings(held_out=0)
    before = cache.key(str(folder), "")
    prepared = prepare_corpus(str(folder), settings, folder / "corpus")  # in the folder itself, which does not count
    assert cache.key(str(folder), "") == before
    assert prepare_corpus(str(folder), settings, folder / "corpus").fingerprint == prepared.fingerprint
    assert prepared.fingerprint == Corpus.from_csv(str(folder), held_out=0).fingerprint
    written(folder, {"harbour [part 3].json": part(3)})
    assert cache.key(str(folder), "") != before
    with pytest.raises(UserError, match=r"holds the corpus of other files"):
        prepare_corpus(str(folder), settings, folder / "corpus")


def test_an_archive_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = zipped(tmp_path / "chats.zip", TREES["chats of one format"][0])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert texts(read_messages("-")) == ["part 1", "part 2", "part 10"]
