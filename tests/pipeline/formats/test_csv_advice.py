"""Suggestions: what is found, how it is written, and that nothing is suggested that does not work."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from charflow.cli.options import spelled
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.messages import read_messages

CHAT = "fromUser.id,text\nmira,café\nada,ok\n"
CZECH = ("fromUser.id,text\n" + "mira,příliš žluťoučký kůň úpěl ďábelské ódy\n" * 9).encode("cp1250")


def told(error: UserError) -> str:
    """What a command says that should be done."""
    return " ".join(each if isinstance(each, str) else each.told(spelled) for each in error.advice)


def advice(path: Path, content: bytes, **options: Any) -> str:
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_messages(str(path), CsvFormat(**options))
    return told(error.value)


SKIP = "Pass --skip-bad-rows to leave it out."
FILES = {
    "cp1250": (
        CZECH,
        "Pass --encoding cp1250 (it then reads 'příliš').",
    ),
    "two names of messages": (b"user,message,content\nmira,hi,x\n", "Pass --user-column user --text-column message."),
    "a name with a quote": (b"fromUser.id,text's\nmira,hi\n", """Pass --text-column 'text'"'"'s'."""),
    "a name with a dash": (b"fromUser.id,--texts\nmira,hi\n", "Pass --text-column=--texts."),
    "cp1252 and a short row": (
        CHAT.encode("cp1252") + b"bo\n",
        "Pass --encoding cp1252 --skip-bad-rows (it then reads 'café'). Or pass --skip-bad-rows to leave them out.",
    ),
    "damaged UTF-8": (CHAT.encode() + b"bo,\xf0\x9f\n", SKIP),
    "escaped quotes": (
        rb'fromUser.id,text' + b"\n" + rb'mira,"say \"hi\", ok"' + b"\nada,ok\n",
        rf"Pass --escape '\'. Or {SKIP[0].lower()}{SKIP[1:]}",
    ),
    "a short row": (CHAT.encode() + b"bo\n", SKIP),
    "short rows only": (b"fromUser.id,text\nbo\n", ""),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("content", "expected"), FILES.values(), ids=FILES)
def test_advice_is_what_makes_the_file_readable(content: bytes, expected: str, tmp_path: Path) -> None:
    assert advice(tmp_path / "chat.csv", content) == expected


def settings_of(words: list[str]) -> dict[str, object]:
    names = {"--delimiter": "delimiter", "--no-header": "header"}
    found: dict[str, object] = {}
    while words:
        option, _, value = words.pop(0).partition("=")
        name = names.get(option, option.removeprefix("--").replace("-", "_"))
        if option in ("--skip-bad-rows", "--skip-initial-space"):
            found[name] = True
        else:
            found[name] = (value or words.pop(0)).replace("\\t", "\t")
    return found


@pytest.mark.parametrize(("content", "expected"), [file for file in FILES.values() if file[1]], ids=lambda _: "")
def test_advice_works_when_it_is_followed(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_bytes(content)
    for sentence in re.split(r"(?<=\.) Or ", expected):
        found = re.fullmatch(r"[Pp]ass (--.*?)(?: \(it then reads .*\)| to leave (?:it|them) out)?\.", sentence)
        assert found, sentence
        read_messages(str(tmp_path / "chat.csv"), CsvFormat(**settings_of(shlex.split(found[1]))))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"id,when,what\n1,now,hi\n", "Pass --user-column and --text-column with two of them, or --no-header with "),
        (b"mira,hi\nada,ok\n", "Pass --user-column and --text-column with two of them, or --no-header with "),
        (b"\x00\x01\x02binary\x03", "Name a CSV file."),
        (b'[{"text": "hi"}]', "Write its messages to a CSV file, such as with pandas.read_json(…).to_csv(…)."),
        (
            b"fromUser.id;text\nmira;hi;x\nada;ok;y\n",
            "Pass --delimiter ';' for the columns 'fromUser.id', 'text', and ",
        ),
        (b"Von;Nachricht;x\nmira;hi;\n", "Pass --delimiter ';' for the columns 'Von', 'Nachricht', 'x', and --user-"),
        (b"sep=|\nVon|Was\nmira|hi\n", "Pass --user-column and --text-column with two of them, or --no-header with "),
        (b"It was night.\n\nThen rain.\n", "Write its messages to a CSV file."),
        (b"text\nhi\n", "Write its messages to a CSV file."),
    ],
    ids=[
        "names that tell nothing",
        "no header",
        "binary",
        "JSON",
        "no delimiter fits",
        "foreign names and delimiter",
        "foreign names and sep=",
        "prose",
        "one column",
    ],
)
def test_advice_names_no_value_that_was_not_found(content: bytes, expected: str, tmp_path: Path) -> None:
    given = advice(tmp_path / "chat.csv", content)
    assert given.startswith(expected) and bool(given) == bool(expected)


NAMED = CHAT.replace("text", "what")


def test_message_tells_a_marked_file_from_one_without_a_mark(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_bytes(NAMED.replace(",", ";").encode("utf-16"))
    with pytest.raises(UserError) as error:
        read_messages(str(tmp_path / "chat.csv"))
    assert "without a byte order mark" not in str(error.value)
    assert told(error.value) == "Pass --delimiter ';' --text-column what."
    assert str(error.value).endswith(" Pass delimiter=';', text_column='what'.")


def test_advice_looks_below_the_line_for_excel(tmp_path: Path) -> None:
    assert advice(tmp_path / "chat.csv", b"sep=;\n" + NAMED.encode()) == "Pass --delimiter , --text-column what."
    named = NAMED.replace(",", ";").encode()
    assert advice(tmp_path / "chat.csv", b"sep=;\n" + named) == "Pass --text-column what."


@pytest.mark.parametrize(
    ("contents", "needed", "spoiled"),
    [
        ([CHAT.encode(), NAMED.encode()], "--text-column what", "0.csv"),
        ([NAMED.encode(), CHAT.encode()], "--text-column what", "1.csv"),
        ([CHAT.encode(), CZECH], "--encoding cp1250", "0.csv"),
        ([CHAT.encode().replace("é".encode(), b"e"), CZECH], "--encoding cp1250", ""),
        ([NAMED.encode(), NAMED.encode()], "--text-column what", ""),
        ([CHAT.encode(), CHAT.encode() + b"bo\n"], "--skip-bad-rows", ""),
    ],
    ids=["another name last", "another name first", "encodings", "one in ASCII", "alike", "bad rows"],
)
def test_advice_holds_for_all_the_files(contents: list[bytes], needed: str, spoiled: str, tmp_path: Path) -> None:
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.csv").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_messages(str(tmp_path / "*.csv"))
    given = told(error.value)
    alone = f"It can be read with {needed}, but not {tmp_path / spoiled} with it: "
    assert given.startswith(alone if spoiled else f"Pass {needed}")


def test_advice_changes_what_was_asked_for(tmp_path: Path) -> None:
    assert advice(tmp_path / "chat.csv", CHAT.encode(), delimiter=";") == "Pass --delimiter ,."


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b'{"text": "' + b"so private " * 150_000 + b'", "more": 1}',
        b"x" * 1_500_000 + b",y" * 1_500_000,
        b"\0\1\2\3private" * 100_000,
        b"fromUser.id," + b"private" * 10_000 + b",b" * 10_000 + b"\nmira,hi\n",
        b"fromUser.id,text\n" + b"private " * 100_000 + b"\n",
        b"fromUser.id,text\n" + b"caf\xf0\x9f" * 100_000 + b",hi\n",
        b'fromUser.id,"text' + b"private" * 100_000,
    ],
    ids=["JSON", "columns", "binary", "long names", "long row", "long word", "unclosed quote"],
)
def test_message_shows_little_of_what_is_in_the_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_messages(str(tmp_path / "chat.csv"))
    message = str(error.value).replace(str(tmp_path), "")
    assert len(message) < 1500
    assert "\n" not in message and message.isprintable()


def test_spelled_quotes_for_a_shell() -> None:
    changes = {"user_column": "it's", "delimiter": "\t", "text_column": "-x", "skip_bad_rows": True}
    words = shlex.split(spelled(changes))
    assert words == ["--user-column", "it's", "--delimiter", "\\t", "--text-column=-x", "--skip-bad-rows"]
