"""What the tests of samplers compare with: slow loops over one row, and the rows they are tried on."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

EIGHTHS = (0.0, 0.125, 0.25, 0.25, 0.5, 1.0)  # sums of them are exact
Keep = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def rows_of(
    values: st.SearchStrategy, *, of: tuple[float, ...] = EIGHTHS, may_be_nothing: bool = True
) -> st.SearchStrategy[list]:
    """Batches of one to four rows of equal size: probabilities (all 0 too, if they may), and the sampler's value."""

    def batches(size: int) -> st.SearchStrategy[list]:
        row = st.lists(st.sampled_from(of), min_size=size, max_size=size)
        return st.lists(st.tuples(row if may_be_nothing else row.filter(any), values), min_size=1, max_size=4)

    return st.integers(1, 7).flatmap(batches)


def expect_equal(keep: Keep, slow: Callable[[list[float], Any], list[float]], rows: list, dtype: tf.DType) -> None:
    """Compares a sampler's function on a batch with the slow loop on each row."""
    probabilities, values = zip(*rows, strict=True)
    found = keep(tf.constant(probabilities, tf.float32), tf.constant(values, dtype))
    np.testing.assert_array_equal(found, np.array([slow(*row) for row in rows], np.float32))


def nucleus(probabilities: list[float], order: Iterable[int], mass: float) -> list[float]:
    """Takes id by id until they reach the mass, in exact arithmetic for the eighths."""
    kept: list[int] = []
    for char in order:
        kept.append(char)
        if mass < 1 and sum(probabilities[each] for each in kept) >= mass * sum(probabilities):
            break
    return [p if char in kept else 0 for char, p in enumerate(probabilities)]
