"""Counting in columns, against a Counter and sets."""

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charflow.model.memory.tally import ABSENT, Different, Tally, find, finder, runs

PIECES = st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=12), max_size=4)


@given(PIECES)
def test_pieces_are_counted_together(pieces: list[list[tuple[int, int]]]) -> None:
    tally = Tally()
    for piece in pieces:
        tally.add(np.array([key for key, _ in piece], np.int64))
    expected = Counter(key for piece in pieces for key, _ in piece)
    assert dict(zip(tally.keys.tolist(), tally.counts.tolist(), strict=True)) == expected
    assert tally.keys.tolist() == sorted(expected)


@given(PIECES, st.integers(1, 3))
def test_enough_different_values_are_told_from_many_of_one(pieces: list[list[tuple[int, int]]], most: int) -> None:
    different, expected = Different(5, most), defaultdict(set)
    for piece in pieces:
        keys, values = np.array(piece, np.int32).reshape(-1, 2).T
        different.add(keys, values)
        for key, value in piece:
            expected[key].add(value)
    assert different.reached().tolist() == sorted(key for key, values in expected.items() if len(values) >= most)


def test_keys_and_values_may_be_large() -> None:
    different = Different(1 << 24, 2)
    different.add(np.array([1 << 26, 3, 3], np.int32), np.array([5, (1 << 24) - 1, 0]))
    assert different.reached().tolist() == [3]


def test_runs_are_put_together() -> None:
    of, sums, lengths = runs(np.array([2, 2, 5]), np.array([7, 1, 4]))
    assert (of.tolist(), sums.tolist(), lengths.tolist()) == ([2, 5], [8, 4], [2, 1])
    assert [part.tolist() for part in runs(np.empty(0, np.int64), np.empty(0, np.int64))] == [[], [], []]


@given(st.sets(st.integers(0, 20)), st.lists(st.integers(0, 21)))
def test_a_key_is_found_at_its_place(keys: set[int], wanted: list[int]) -> None:
    rising, asked = np.array(sorted(keys), np.int64), np.array(wanted, np.int64)
    expected = [rising.tolist().index(key) if key in keys else ABSENT for key in wanted]
    assert find(rising, asked).tolist() == finder(rising, 21)(asked).tolist() == expected
