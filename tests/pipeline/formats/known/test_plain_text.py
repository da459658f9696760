"""Plain text: books, poems, a line without an end."""

from pathlib import Path

import pytest

from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.messages import read_messages
from tests.pipeline.formats.chats import Example, pairs, read_chat

POEM = """\
The boat and tea
  they wait for me,

"Come in," said Bo,\t\tand poured; we know

"""


PAIRS = [
    ("poem", "The boat and tea\n  they wait for me,"),
    ("poem", '"Come in," said Bo,\t\tand poured; we know'),
]
EXAMPLES = [
    Example("poem.txt", POEM, PAIRS, {}, "plain text"),
    Example("poem.md", POEM.replace("\n", "\r\n"), PAIRS, {}, "plain text"),
]


def test_plain_text_is_told_in_a_line(tmp_path: Path) -> None:
    assert str(read_chat(tmp_path / "poem.txt", POEM).chats[0]) == "plain text: 2 messages of 1 person"


def test_plain_text_of_one_line_is_cut_at_blanks_and_stays_what_it_is(tmp_path: Path) -> None:
    text = " ".join(f"word{n}" for n in range(60_000))
    read = pairs(read_chat(tmp_path / "book", text))
    assert len(read) > 5
    assert " ".join(text for _, text in read) == text


def test_plain_text_without_a_blank_is_cut_anywhere(tmp_path: Path) -> None:
    read = pairs(read_chat(tmp_path / "book.txt", "ab" * 100_000))
    assert "".join(text for _, text in read) == "ab" * 100_000


TABLES = {
    "a table of Excel": ("chat.txt", "who;what\nmira;hi, you\n"),
    "a table with blanks": ("chat.txt", "the user,the words\nmira,hi you\nbo,oh yes\n"),
    "a file called CSV": ("chat.csv", "Well I never\nsaw such a thing\n"),
    "a log with times": ("log.txt", "[12:34] mira - hi you\n[12:35] bo - oh yes\n[12:35] bo waves\n"),
    "a log with dates": ("log.txt", "2024-01-31 12:34:56 mira hi you\n2024-01-31 12:34:57 bo oh yes\n"),
    "a log of speakers": ("log.txt", "<mira> hi you\n<bo> oh yes\nall laugh\n"),
    "JSON that is no chat": ("chat.json", '{"a": [1, 2]}'),
}


@pytest.mark.parametrize(("name", "content"), TABLES.values(), ids=TABLES)
def test_plain_text_is_not_what_looks_like_something_else(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(UserError):
        read_chat(tmp_path / name, content)


def test_plain_text_in_cp1252_is_read_and_told(tmp_path: Path) -> None:
    messages = read_chat(tmp_path / "book.txt", "Très bien, dit-il, et le café déjà là\n".encode("cp1252"))
    assert pairs(messages) == [("book", "Très bien, dit-il, et le café déjà là")]
    assert messages.chats[0].format == "plain text, in cp1252 (it then reads 'Très')"


def test_plain_text_in_another_encoding_is_told_with_the_option_that_reads_it(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_bytes(("příliš žluťoučký kůň úpěl ďábelské ódy\n" * 9).encode("cp1250"))
    with pytest.raises(UserError, match=r"line 1: the line has bytes that are not UTF-8\. .*encoding='cp1250'"):
        read_messages(str(book))


def test_plain_text_is_a_table_where_its_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "chat.txt").write_text("mira~well, hi\nbo~hi\n")
    csv = CsvFormat(delimiter="~", header=False, user_column="0", text_column="1")
    assert pairs(read_messages(str(tmp_path / "chat.txt"), csv)) == [("mira", "well, hi"), ("bo", "hi")]
