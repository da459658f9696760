"""Marks: characters that nobody writes."""

import doctest

from charflow.pipeline import marks
from charflow.pipeline.marks import NAMES


def test_marks_examples_hold() -> None:
    assert doctest.testmod(marks).failed == 0


def test_marks_are_single_control_characters_with_names() -> None:
    assert all(len(mark) == 1 and not mark.isprintable() for mark in NAMES)
    assert len(set(NAMES.values())) == len(NAMES)
