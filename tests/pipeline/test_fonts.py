"""Charts of names in any script, without a word from matplotlib."""

import doctest
import warnings
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import font_manager

from charflow.pipeline import fonts
from charflow.pipeline.corpus.explore import plot_users
from charflow.pipeline.fonts import fonts_for

NAMES = [
    "山田太郎",
    "홍길동",
    "שרה",
    "สมชาย",
    "Ж😀",
    "🌻👩‍💻",
    "e\u0301",
    "a\nb\t",
    "$x_1$",
    "\u202eabc",
    "\U00030000",
    "",
]


def characters_of(family: str) -> set[str]:
    return set(map(chr, font_manager.get_font(font_manager.findfont(family)).get_charmap()))


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(fonts).failed == 0


def test_fonts_for_latin_are_the_wanted_one() -> None:
    assert fonts_for(["mira", "Ж"], "monospace") == (["monospace"], set())


def test_fonts_for_other_scripts_are_found_among_those_there_are() -> None:
    other = min(characters_of("DejaVu Sans") - characters_of("DejaVu Sans Mono"))
    families, lacking = fonts_for([other], "monospace")
    assert (families[0], lacking) == ("monospace", set())
    assert any(other in characters_of(family) for family in families[1:])


def test_fonts_for_what_no_font_has_say_so() -> None:
    assert fonts_for(["a\U00030000"], "monospace")[1] == {"\U00030000"}


@pytest.mark.parametrize("title", ["a chat", "山田太郎 \U00030000"], ids=ascii)
def test_plot_users_is_silent_about_any_name(title: str, tmp_path: Path) -> None:
    users = pd.DataFrame({"user": NAMES, "messages": range(len(NAMES), 0, -1)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lacking = plot_users(users, tmp_path / "users.png", title=title)
    assert "\U00030000" in lacking
    assert lacking.isdisjoint("abc$x_1Ж□")
