"""Top-k against a slow loop, and by hand."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.model.decoding.samplers.top_k import keep
from tests.model.decoding.samplers.slow_loops import expect_equal, rows_of

few = settings(max_examples=60)


def slow(probabilities: list[float], top_k: int) -> list[float]:
    order = sorted(range(len(probabilities)), key=lambda char: (-probabilities[char], char))
    kept = order[:top_k] if top_k > 0 else order
    return [p if char in kept else 0 for char, p in enumerate(probabilities)]


@few
@given(rows=rows_of(st.integers(0, 9)))
def test_top_k_equals_the_slow_loop(rows: list) -> None:
    expect_equal(keep, slow, rows, tf.int32)


@pytest.mark.parametrize(
    ("top_k", "expected"),
    [
        (0, [0.1, 0.3, 0.3, 0.2, 0.1]),
        (1, [0, 0.3, 0, 0, 0]),
        (4, [0.1, 0.3, 0.3, 0.2, 0]),
        (99, [0.1, 0.3, 0.3, 0.2, 0.1]),
    ],
    ids=["off", "1: of a tie the lower id", "4: of a tie the lower id", "above the vocabulary"],
)
def test_top_k_by_hand(top_k: int, expected: list) -> None:
    found = keep(tf.constant([[0.1, 0.3, 0.3, 0.2, 0.1]]), tf.constant([top_k]))
    np.testing.assert_array_equal(found, np.array([expected], np.float32))
