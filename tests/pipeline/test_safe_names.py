"""Names that are folders and models everywhere, one for each person."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charflow.pipeline.safe_names import safe_name


@pytest.mark.parametrize("name", ["mira", "54ee77ff15522ed4b3dc7cbb", "a_b-7"])
def test_safe_name_leaves_what_is_safe(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("name", "begin"),
    [("Mira K.", "mira-k-"), ("Söng", "song-"), ("../../etc", "etc-"), ("a/b", "a-b-"), ("-x-", "x-")],
)
def test_safe_name_says_who_is_meant(name: str, begin: str) -> None:
    assert re.fullmatch(re.escape(begin) + "[0-9a-f]{6}", safe_name(name))


@pytest.mark.parametrize("name", ["", "🎵", "美羅", "..."])
def test_safe_name_of_nothing_that_is_safe_is_a_number(name: str) -> None:
    assert re.fullmatch("[0-9a-f]{6}", safe_name(name))


def test_safe_name_tells_people_of_one_name_apart() -> None:
    assert len({safe_name("mira", "id7"), safe_name("mira", "id8"), safe_name("mira"), safe_name("Mira")}) == 4


@given(st.text(), st.text())
def test_safe_name_is_safe(name: str, key: str) -> None:
    safe = safe_name(name, key)
    assert re.fullmatch("[a-z0-9_][a-z0-9_-]{0,46}", safe)
