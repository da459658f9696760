"""Uniform numbers against plain integers, draws against the distribution, filters against a slow reference."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.model.decoding.sampling import draw, uniforms, weigh

few = settings(max_examples=40)
LARGEST = 1 - 2**-23  # of the uniform numbers
INT64 = st.integers(-(2**63), 2**63 - 1)


def split_mix_64(seed: int, position: int) -> int:
    """The generator in Python's integers: output `position` of the stream that starts at the mixed seed."""
    state = mixed(seed * 0x9E3779B97F4A7C15)
    return mixed(state + (position + 1) * 0x9E3779B97F4A7C15)


def mixed(z: int) -> int:
    z %= 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def uniform_rows(seeds: list[int], positions: list[int], count: int) -> np.ndarray:
    return uniforms(tf.constant(seeds, tf.int64), tf.constant(positions, tf.int64), tf.constant(count)).numpy()


def test_split_mix_64_reference_is_the_published_generator() -> None:
    """The first outputs for seed 1234567 of Vigna's splitmix64.c, as listed by Rosetta Code."""
    z, outputs = 1234567, []
    for _ in range(3):
        z += 0x9E3779B97F4A7C15
        outputs.append(mixed(z))
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@few
@given(seed=INT64, position=st.integers(0, 2**62))
def test_uniforms_equal_the_reference_bit_for_bit(seed: int, position: int) -> None:
    found = uniform_rows([seed], [position], 3)[:, 0]
    assert found.dtype == np.float32
    assert found.tolist() == [(split_mix_64(seed, position + k) >> 41) / 2**23 for k in range(3)]


def test_uniforms_are_spread_evenly_between_0_and_1() -> None:
    numbers = uniform_rows(list(range(100)), [0] * 100, 1000).ravel()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert chi_square(np.bincount((numbers * 16).astype(int), minlength=16), np.full(16, 1 / 16)) < 37.7  # 15, 0.1 %


def test_uniforms_of_neighbouring_seeds_are_unrelated() -> None:
    numbers = uniform_rows([0, 1, -1, 2], [0] * 4, 2000)
    correlations = np.corrcoef(numbers.T)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(2000)
    assert not set(numbers[:, 0]) & set(numbers[:, 1]) & set(numbers[:, 2])


@few
@given(rows=st.lists(st.tuples(INT64, st.integers(0, 2**40)), min_size=1, max_size=5), count=st.integers(0, 6))
def test_uniforms_do_not_depend_on_neighbours(rows: list, count: int) -> None:
    seeds, positions = zip(*rows, strict=True)
    together = uniform_rows(list(seeds), list(positions), count)
    assert together.shape == (count, len(rows))
    for row in range(len(rows)):
        np.testing.assert_array_equal(together[:, row], uniform_rows([seeds[row]], [positions[row]], count)[:, 0])


@few
@given(seed=INT64, cut=st.integers(0, 12))
def test_uniforms_do_not_depend_on_chunks(seed: int, cut: int) -> None:
    chunks = [uniform_rows([seed], [0], cut), uniform_rows([seed], [cut], 12 - cut)]
    np.testing.assert_array_equal(np.concatenate(chunks), uniform_rows([seed], [0], 12))


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    expected = counts.sum() * probabilities
    return float(((counts - expected) ** 2 / expected).sum())


def frequencies(probabilities: np.ndarray, n: int = 20_000) -> np.ndarray:
    """How often each id is drawn with n numbers of the generator."""
    numbers = uniform_rows([11], [0], n)[:, 0]
    return np.bincount(draw(tf.repeat([probabilities], n, axis=0), numbers), minlength=len(probabilities))


LOGITS = np.array([0.3, -1.0, 1.2, 0.0, -0.4], np.float32)


HARD = np.array([LOGITS, LOGITS + 1e4, [0, 0, 0, 0, 0], [-1e30, 3, -1e30, 2, -90], [80, -80, 0, 1, -1e30]], np.float32)


@pytest.mark.parametrize("temperature", [1e-6, 0.5, 1.0, 2.0, 1e6], ids=lambda t: f"temperature {t}")
def test_weigh_is_a_softmax_in_another_scale(temperature: float) -> None:
    found = weigh(tf.constant(HARD), tf.fill([len(HARD), 1], 1 / temperature)).numpy()
    np.testing.assert_array_equal(found.max(axis=1), 1)
    expected = tf.nn.softmax((HARD - HARD.max(axis=1, keepdims=True)).astype(np.float64) / temperature).numpy()
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), expected, rtol=2e-5, atol=1e-30)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0], ids=lambda t: f"temperature {t}")
def test_draw_follows_the_softmax(temperature: float) -> None:
    weights = np.exp(LOGITS / temperature)
    counts = frequencies(tf.nn.softmax(LOGITS / temperature))
    assert chi_square(counts, weights / weights.sum()) < 18.5  # 4 degrees of freedom, 0.1 %


def test_draw_where_a_sampler_left_ids_out_follows_the_softmax_of_what_is_left() -> None:
    counts = frequencies(tf.nn.softmax(LOGITS) * [1, 0, 1, 1, 0])
    assert counts[[1, 4]].tolist() == [0, 0]
    weights = np.exp(LOGITS[[0, 2, 3]])
    assert chi_square(counts[[0, 2, 3]], weights / weights.sum()) < 13.8  # 2 degrees of freedom, 0.1 %


@pytest.mark.parametrize(
    ("probabilities", "number", "expected"),
    [
        ([0.25, 0.5, 0.25], 0.0, 0),
        ([0.25, 0.5, 0.25], 0.2499, 0),
        ([0.25, 0.5, 0.25], 0.25, 1),
        ([0.25, 0.5, 0.25], 0.75, 2),
        ([0.25, 0.5, 0.25], LARGEST, 2),
        ([0.0, 0.0, 1.0, 0.0], 0.0, 2),
        ([0.0, 0.5, 0.0, 0.5, 0.0], LARGEST, 3),
        ([0.0, 0.5, 0.0, 0.5, 0.0], 0.5, 3),
        ([2.0, 6.0], 0.2, 0),
        ([2.0, 6.0], 0.3, 1),
    ],
    ids=[
        "lowest number",
        "just below a bound",
        "on a bound",
        "on the last bound",
        "largest number",
        "zeros before",
        "zeros after",
        "zero on the bound",
        "any scale, first",
        "any scale, second",
    ],
)
def test_draw_takes_the_first_id_beyond_the_number(probabilities: list, number: float, expected: int) -> None:
    found = draw(tf.constant([probabilities]), tf.constant([number]))
    assert found.dtype == tf.int32
    assert found.numpy().tolist() == [expected]


@few
@given(
    weights=st.lists(st.sampled_from([0.0, 0.0, 1e-30, 1e-7, 0.1, 1.0, 3.0]), min_size=1, max_size=9).filter(any),
    number=st.integers(0, 2**23 - 1).map(lambda k: k / 2**23) | st.sampled_from([0.0, LARGEST]),
)
def test_draw_never_takes_an_id_of_probability_0(weights: list, number: float) -> None:
    found = int(draw(tf.constant([weights]), tf.constant([number]))[0])
    assert weights[found] > 0


def test_draw_from_a_large_vocabulary_never_takes_an_id_of_probability_0() -> None:
    random = np.random.default_rng(4)
    probabilities = np.where(random.random(9000) < 0.5, 0, random.random(9000)).astype(np.float32)
    numbers = np.append(random.integers(0, 2**23, 500) / 2**23, [0.0, LARGEST]).astype(np.float32)
    found = draw(tf.repeat([probabilities], len(numbers), axis=0), numbers).numpy()
    assert (probabilities[found] > 0).all()
    exact = np.cumsum(probabilities, dtype=np.float64)
    expected = np.searchsorted(exact, numbers * exact[-1], side="right")
    assert np.abs(found - expected).max() <= 3  # sums of float32 are off by a few places, not by more
