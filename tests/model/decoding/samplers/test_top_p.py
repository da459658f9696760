"""Top-p against a slow loop, and by hand."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.model.decoding.samplers.top_p import keep
from tests.model.decoding.samplers.slow_loops import expect_equal, nucleus, rows_of

few = settings(max_examples=60)


def slow(probabilities: list[float], top_p: float) -> list[float]:
    """Id by id, in exact arithmetic for the eighths that the tests use."""
    order = sorted(range(len(probabilities)), key=lambda char: (-probabilities[char], char))
    return nucleus(probabilities, order, top_p)


@few
@given(rows=rows_of(st.sampled_from([0.0, 1e-9, 0.125, 0.25, 0.5, 0.75, 0.875, 0.999, 1.0])))
def test_top_p_equals_the_slow_loop(rows: list) -> None:
    expect_equal(keep, slow, rows, tf.float32)


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [
        (1.0, [0.1, 0.3, 0.3, 0.2, 0.1]),
        (1e-30, [0, 0.3, 0, 0, 0]),
        (0.0, [0, 0.3, 0, 0, 0]),
        (0.5, [0, 0.3, 0.3, 0, 0]),
        (0.85, [0.1, 0.3, 0.3, 0.2, 0]),
    ],
    ids=["off", "tiny", "0", "0.5", "0.85: of a tie the lower id"],
)
def test_top_p_by_hand(top_p: float, expected: list) -> None:
    found = keep(tf.constant([[0.1, 0.3, 0.3, 0.2, 0.1]]), tf.constant([top_p]))
    np.testing.assert_array_equal(found, np.array([expected], np.float32))
