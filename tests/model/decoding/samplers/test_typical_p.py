"""Locally typical sampling against a slow loop, and by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.model.decoding.samplers.typical_p import SAMPLER, keep
from tests.model.decoding.samplers.slow_loops import expect_equal, nucleus, rows_of

few = settings(max_examples=60)
# Entropy 1.16 nats; their surprises are 0.51, 1.61, 2.30, 2.30 nats, at distances 0.58, 0.52, 1.22, 1.22 from it.
ROW = [0.6, 0.2, 0.1, 0.1]


def slow(probabilities: list[float], typical_p: float) -> list[float]:
    """Id by id; the masses are in exact arithmetic for the eighths that the tests use."""
    total = math.fsum(probabilities)
    surprise = [-math.log(p / total) if p else math.inf for p in probabilities]
    entropy = math.fsum(p / total * s for p, s in zip(probabilities, surprise, strict=True) if p)
    order = sorted(range(len(probabilities)), key=lambda char: (np.float32(abs(surprise[char] - entropy)), char))
    return nucleus(probabilities, order, typical_p)


@few
@given(
    rows=rows_of(
        st.sampled_from([1e-9, 0.125, 0.25, 0.5, 0.75, 0.875, 0.999, 1.0]),
        of=(0.0, 0.125, 0.25, 0.375, 1.0),
        may_be_nothing=False,
    )
)
def test_typical_p_equals_the_slow_loop(rows: list) -> None:
    expect_equal(keep, slow, rows, tf.float32)


@pytest.mark.parametrize(
    ("typical_p", "expected"),
    [
        (1.0, ROW),
        (1e-30, [0, 0.2, 0, 0]),
        (0.0, [0, 0.2, 0, 0]),
        (0.5, [0.6, 0.2, 0, 0]),
        (0.85, [0.6, 0.2, 0.1, 0]),
        (0.95, ROW),
        (3.0, ROW),
        (np.nan, ROW),
    ],
    ids=[
        *["off", "tiny: the most typical, not the most likely", "0: likewise", "0.5", "0.85: of a tie the lower id"],
        *["0.95", "above 1: as off", "no number: as off"],
    ],
)
def test_typical_p_by_hand(typical_p: float, expected: list) -> None:
    found = keep(tf.constant([ROW]), SAMPLER.taken(tf.constant([typical_p])))
    np.testing.assert_array_equal(found, np.array([expected], np.float32))


def test_typical_p_of_what_nothing_is_left_of_but_one() -> None:
    found = keep(tf.constant([[0.0, 0.0, 2e-30, 0.0]]), tf.constant([0.5]))
    np.testing.assert_array_equal(found, np.array([[0, 0, 2e-30, 0]], np.float32))


@pytest.mark.slow
@few
@given(scale=st.sampled_from([2.0**-60, 0.25, 2.0**60]), typical_p=st.floats(2**-7, 1, width=32))
def test_typical_p_does_not_depend_on_the_scale(scale: float, typical_p: float) -> None:
    found = [keep(tf.constant([ROW]) * factor, tf.constant([typical_p])) > 0 for factor in (1.0, scale)]
    np.testing.assert_array_equal(*found)


@few
@given(neighbours=st.integers(0, 9), typical_p=st.sampled_from([0.2, 0.5, 0.8]))
def test_typical_p_takes_the_lower_ids_of_equals_wherever_the_row_stands(neighbours: int, typical_p: float) -> None:
    equals = [[0.1] * 11]
    (alone,) = keep(tf.constant(equals), tf.constant([typical_p])).numpy()
    rows = tf.constant([[0.3, 0.7, *[0.0] * 9]] * neighbours + equals)
    *_, last = keep(rows, tf.fill([neighbours + 1], typical_p)).numpy()
    np.testing.assert_array_equal(last, alone)
    assert np.flatnonzero(alone).tolist() == list(range(math.ceil(11 * typical_p)))
