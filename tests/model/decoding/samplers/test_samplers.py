"""What every sampler of the table keeps to, whichever it is."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.model.decoding.samplers import SAMPLERS, Sampler
from charflow.model.decoding.settings import SETTINGS, SamplingSettings
from charflow.pipeline.errors import SettingError

few = settings(max_examples=60)
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)
WEIGHTS = st.lists(st.sampled_from([0.0, 1e-30, 0.125, 0.25, 0.25, 0.5, 1.0, 3.0]), min_size=1, max_size=7).filter(any)
ROWS = st.lists(st.tuples(*[st.sampled_from([0.125, 0.25, 0.5, 1.0])] * 5), min_size=2, max_size=4)
ODD = {"float32": [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e-38, 2.0], "int32": [-(2**31), -1, 0, 2**31 - 1]}


def kept_by(sampler: Sampler, probabilities: list[list[float]], values: list[float]) -> np.ndarray:
    taken = sampler.taken(tf.constant(values, sampler.dtype))
    return sampler.keep(tf.constant(probabilities, tf.float32), taken).numpy()


def values_of(sampler: Sampler) -> st.SearchStrategy:
    inside = st.integers(0, 9) if sampler.dtype == "int32" else st.floats(0, 1, width=32)
    return inside | st.sampled_from(ODD[sampler.dtype])


@each_sampler
@few
@given(data=st.data(), weights=WEIGHTS)
def test_sampler_leaves_ids_out_and_nothing_else(sampler: Sampler, data: st.DataObject, weights: list[float]) -> None:
    (found,) = kept_by(sampler, [weights], [data.draw(values_of(sampler))])
    given_ = np.array(weights, np.float32)
    assert found.any(), "one id stays at least"
    assert ((found == given_) | (found == 0)).all()


@each_sampler
@few
@given(weights=WEIGHTS)
def test_sampler_that_is_off_changes_nothing(sampler: Sampler, weights: list[float]) -> None:
    np.testing.assert_array_equal(kept_by(sampler, [weights], [sampler.off]), np.array([weights], np.float32))


@each_sampler
@few
@given(data=st.data(), rows=ROWS)
@pytest.mark.slow
def test_sampler_treats_each_row_by_itself(sampler: Sampler, data: st.DataObject, rows: list[tuple]) -> None:
    values = [data.draw(values_of(sampler)) for _ in rows]
    together = kept_by(sampler, [list(row) for row in rows], values)
    alone = [kept_by(sampler, [list(row)], [value])[0] for row, value in zip(rows, values, strict=True)]
    np.testing.assert_array_equal(together, alone)


@each_sampler
def test_sampler_leaves_something_out_with_its_usual_value(sampler: Sampler) -> None:
    flat = [[2.0**-n for n in range(12)]]
    (found,) = kept_by(sampler, flat, [sampler.usual])
    assert 0 < np.count_nonzero(found) < 12


@each_sampler
def test_sampler_takes_what_is_no_number_as_off(sampler: Sampler) -> None:
    if sampler.dtype == "int32":
        pytest.skip("a whole number is always one")
    assert sampler.taken(tf.constant([np.nan], sampler.dtype)).numpy().tolist() == [sampler.off]


@each_sampler
def test_sampler_is_a_setting_with_its_bounds(sampler: Sampler) -> None:
    assert getattr(SamplingSettings(), sampler.name) == sampler.off
    assert getattr(SamplingSettings(**{sampler.name: sampler.usual}), sampler.name) == sampler.usual
    with pytest.raises(SettingError, match=rf"^{sampler.name} must be .* \({sampler.bounds.note}\)\.$"):
        SamplingSettings(**{sampler.name: -1})


def test_samplers_are_applied_in_the_order_of_their_places() -> None:
    places = [sampler.place for sampler in SAMPLERS]
    assert places == sorted(set(places)), "no two have one place"


def test_settings_have_every_sampler_once() -> None:
    names = [setting.name for setting in SETTINGS]
    assert len(names) == len(set(names))
    assert [name for name in names if name in {sampler.name for sampler in SAMPLERS}] == [s.name for s in SAMPLERS]


def test_top_p_takes_the_nucleus_of_what_top_k_left() -> None:
    probabilities = tf.constant([[0.1, 0.3, 0.3, 0.2, 0.1]] * 2)
    values = {"top_k": tf.constant([2, 2]), "top_p": tf.constant([0.4, 0.6])}
    for sampler in SAMPLERS:
        if sampler.name in values:
            probabilities = sampler.keep(probabilities, values[sampler.name])
    expected = np.array([[0, 0.3, 0, 0, 0], [0, 0.3, 0.3, 0, 0]], np.float32)
    np.testing.assert_array_equal(probabilities, expected)


def test_sampler_bounds_are_the_nearest_values_in_a_graph() -> None:
    top_k = replace(SAMPLERS[0], bounds=replace(SAMPLERS[0].bounds, at_most=9))
    assert top_k.taken(tf.constant([-3, 4, 12])).numpy().tolist() == [0, 4, 9]
