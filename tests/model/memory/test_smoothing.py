"""Discounts by hand, and that every context keeps something for what was not seen."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charflow.model.memory.smoothing import discounted_shares


def test_discounts_are_those_of_modified_kneser_ney() -> None:
    counts = np.array([1] * 6 + [2] * 3 + [3] * 2 + [4, 9])  # n_1 to n_4: 6, 3, 2, 2 (4 and more)
    shares = discounted_shares(counts, np.zeros(len(counts), int))
    y = 6 / (6 + 2 * 3)
    taken = {1: 1 - 2 * y * 3 / 6, 2: 2 - 3 * y * 2 / 3, 3: 3 - 4 * y * 2 / 2}
    expected = [(count - taken[min(count, 3)]) / counts.sum() for count in counts]
    np.testing.assert_allclose(shares, expected)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2)), min_size=1, max_size=30))
def test_shares_are_above_zero_and_leave_something(rows: list[tuple[int, int]]) -> None:
    counts, contexts = (np.array(column) for column in zip(*rows, strict=True))
    shares = discounted_shares(counts, contexts)
    assert (shares > 0).all()
    assert (np.bincount(contexts, shares) < 1).all()
