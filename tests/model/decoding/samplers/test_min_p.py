"""Min-p against a slow loop, and by hand."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.model.decoding.samplers.min_p import SAMPLER, keep
from tests.model.decoding.samplers.slow_loops import expect_equal, rows_of

few = settings(max_examples=60)
ROW = [0.1, 0.3, 0.3, 0.2, 0.1]


def slow(probabilities: list[float], min_p: float) -> list[float]:
    """Id by id, in exact arithmetic for the eighths that the tests use."""
    return [p if p >= min_p * max(probabilities) else 0 for p in probabilities]


@few
@given(rows=rows_of(st.sampled_from([0.0, 1e-9, 0.125, 0.25, 0.5, 0.75, 0.999, 1.0])))
def test_min_p_equals_the_slow_loop(rows: list) -> None:
    expect_equal(keep, slow, rows, tf.float32)


@pytest.mark.parametrize(
    ("min_p", "expected"),
    [
        (0.0, ROW),
        (0.3, ROW),
        (0.5, [0, 0.3, 0.3, 0.2, 0]),
        (1.0, [0, 0.3, 0.3, 0, 0]),
        (7.0, [0, 0.3, 0.3, 0, 0]),
        (-1.0, ROW),
        (np.nan, ROW),
    ],
    ids=["off", "below all", "0.5", "1: both of a tie", "above 1: as 1", "below 0: as off", "no number: as off"],
)
def test_min_p_by_hand(min_p: float, expected: list) -> None:
    found = keep(tf.constant([ROW]), SAMPLER.taken(tf.constant([min_p])))
    np.testing.assert_array_equal(found, np.array([expected], np.float32))


@few
@given(scale=st.sampled_from([2.0**-60, 0.25, 1.0, 2.0**60]), min_p=st.floats(0, 1, width=32))
def test_min_p_does_not_depend_on_the_scale(scale: float, min_p: float) -> None:
    found = [keep(tf.constant([ROW]) * factor, tf.constant([min_p])) > 0 for factor in (1.0, scale)]
    np.testing.assert_array_equal(*found)
