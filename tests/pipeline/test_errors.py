"""How foreign text reads in a message."""

import doctest
import unicodedata

import pytest

from charflow.pipeline import errors
from charflow.pipeline.errors import quoted, quoted_list, visible


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(errors).failed == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mira", "'mira'"),
        (" mira ", "' mira '"),
        ("", "''"),
        ("it's", '"it\'s"'),
        ("a\nb\tc\r", r"'a\nb\tc\r'"),
        ("no\xa0break\u200b", r"'no\xa0break\u200b'"),
        ("caf\udce9", r"'caf\xe9'"),
        ("\x1b[31m\x9b", r"'\x1b[31m\x9b'"),
        ("C:\\new", r"'C:\new'"),
        ("мова 🌻", "'мова 🌻'"),
        ("\U000e0001", r"'\U000e0001'"),
    ],
    ids=["plain", "blanks", "empty", "apostrophe", "lines", "unseen", "byte", "escape", "backslash", "world", "astral"],
)
def test_quoted_shows_what_cannot_be_seen(text: str, shown: str) -> None:
    assert quoted(text) == shown


def test_quoted_is_bounded() -> None:
    assert quoted("x" * 60) == f"'{'x' * 60}'"
    assert quoted("x" * 1_600_000) == f"'{'x' * 60}…' (1,600,000 characters)"
    assert len(quoted("\U000e0001" * 10**6)) < 700


def test_quoted_list_tells_how_many_it_leaves_out() -> None:
    assert quoted_list(["a", "b "]) == "'a', 'b '"
    assert quoted_list(map(str, range(10**5)), most=2) == "'0', '1' and 99,998 more"
    assert quoted_list([]) == ""


def test_visible_leaves_nothing_that_acts_on_a_terminal() -> None:
    shown = visible("".join(map(chr, range(0x110000))))
    assert {char for char in shown if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")} == {"\n", "\t"}
    assert not {char for char in shown if unicodedata.bidirectional(char) in ("LRO", "RLO", "LRE", "RLE", "RLI", "LRI")}


def test_visible_leaves_text_as_it_stands() -> None:
    text = "[/bo] :smile: \\x1b {} 👩‍💻 שלום\n\tмова"
    assert visible(text) == text
    assert visible("a\r\nb\rc") == "a\nb\\rc"
