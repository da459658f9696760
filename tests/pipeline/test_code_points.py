"""Code points, counted and named."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charflow.pipeline.code_points import CODE_POINTS, count_points, named, points_of


@given(st.text(st.characters(), max_size=20))
def test_points_of_are_those_of_python(text: str) -> None:
    assert points_of(text).tolist() == [ord(char) for char in text]


def test_points_of_takes_half_a_character() -> None:
    assert points_of("a\ud800").tolist() == [97, 0xD800]


def test_count_points_adds_up_and_names_what_occurs() -> None:
    counts = np.zeros(CODE_POINTS, np.int64)
    for text in ("aab", "b😀"):
        count_points(counts, points_of(text))
    assert named(counts) == {"a": 2, "b": 2, "😀": 1}
