"""One step of each cell against Keras's layer and against NumPy arithmetic."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from charflow.model.network.cells import CellWeights, by_gate, states_per_layer, step

BATCH, STEPS, INPUTS, UNITS = 2, 5, 3, 4
LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
each_cell = pytest.mark.parametrize("kind", ["lstm", "gru"])


def random_layer(kind: str) -> tuple[keras.layers.Layer, CellWeights, np.ndarray]:
    """A Keras layer with random weights and biases, the same weights for `step`, and an input [B, T, inputs]."""
    random = np.random.default_rng(3)
    layer = LAYERS[kind](UNITS, return_sequences=True, return_state=True)
    layer.build([None, None, INPUTS])
    layer.set_weights([random.normal(size=weight.shape) for weight in layer.get_weights()])
    weights = CellWeights(*map(tf.constant, layer.get_weights()))
    return layer, weights, random.normal(size=[BATCH, STEPS, INPUTS]).astype(np.float32)


def numpy_lstm(x: np.ndarray, h: np.ndarray, c: np.ndarray, weights: CellWeights) -> tuple[np.ndarray, ...]:
    kernel, recurrent, bias = (weight.numpy() for weight in weights)
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def numpy_gru(x: np.ndarray, h: np.ndarray, weights: CellWeights) -> tuple[np.ndarray, ...]:
    kernel, recurrent, (input_bias, recurrent_bias) = (weight.numpy() for weight in weights)
    x_z, x_r, x_h = np.split(x @ kernel + input_bias, 3, axis=1)
    h_z, h_r, h_h = np.split(h @ recurrent + recurrent_bias, 3, axis=1)
    z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
    return (z * h + (1 - z) * np.tanh(x_h + r * h_h),)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@each_cell
def test_step_repeated_equals_the_keras_layer(kind: str) -> None:
    layer, weights, x = random_layer(kind)
    state = tuple(tf.zeros([BATCH, UNITS]) for _ in range(states_per_layer(kind)))
    outputs, gates = [], by_gate(kind, weights)
    for t in range(STEPS):
        state = step(kind, gates.project(x[:, t]), state, gates)
        outputs.append(state[0])
    expected, *expected_state = layer(x)
    np.testing.assert_allclose(tf.stack(outputs, axis=1), expected, atol=2e-6)
    assert len(state) == len(expected_state)
    for part, expected_part in zip(state, expected_state, strict=True):
        np.testing.assert_allclose(part, expected_part, atol=2e-6)


@each_cell
def test_step_equals_numpy_arithmetic(kind: str) -> None:
    _, weights, x = random_layer(kind)
    before = np.random.default_rng(4).normal(size=[states_per_layer(kind), BATCH, UNITS]).astype(np.float32)
    gates = by_gate(kind, weights)
    found = step(kind, gates.project(x[:, 0]), tuple(before), gates)
    expected = {"lstm": numpy_lstm, "gru": numpy_gru}[kind](x[:, 0], *before, weights)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@each_cell
def test_step_does_not_mix_the_rows_of_a_batch(kind: str) -> None:
    _, weights, x = random_layer(kind)
    state = tuple(tf.zeros([BATCH, UNITS]) for _ in range(states_per_layer(kind)))
    gates = by_gate(kind, weights)
    together = step(kind, gates.project(x[:, 0]), state, gates)
    alone = step(kind, gates.project(x[1:, 0]), tuple(part[1:] for part in state), gates)
    np.testing.assert_allclose([part[1:] for part in together], alone, atol=1e-6)


@each_cell
def test_look_up_is_the_projection_of_one_hot_inputs(kind: str) -> None:
    gates = by_gate(kind, random_layer(kind)[1])
    np.testing.assert_array_equal(gates.look_up(), gates.project(tf.eye(INPUTS)))


@pytest.mark.parametrize(
    ("kind", "z", "state", "expected"),
    [
        ("lstm", [0, 0, 0, 0], [0, 0], [0, 0]),
        # sigmoid(ln 3) is 3/4: c = 3/4 * 2 + 1/2 * 0, h = 1/2 * tanh(c)
        ("lstm", [0, np.log(3), 0, 0], [0, 2], [0.5 * np.tanh(1.5), 1.5]),
        # an open input gate and a large candidate put 1 into the cell, a closed output gate hides it
        ("lstm", [100, -100, 100, -100], [0, 2], [0, 1]),
        # z = 3/4 keeps three quarters of h; the candidate is 0
        ("gru", [np.log(3), 0, 0], [0.8], [0.6]),
        # z closed: only the candidate, tanh(ln 3) = 4/5
        ("gru", [-100, 0, np.log(3)], [0.5], [0.8]),
    ],
    ids=["lstm at rest", "lstm forgets a quarter", "lstm hides its cell", "gru keeps", "gru replaces"],
)
def test_step_of_one_unit_by_hand(kind: str, z: list, state: list, expected: list) -> None:
    gates = len(z)
    bias = tf.zeros([4]) if kind == "lstm" else tf.zeros([2, 3])
    weights = CellWeights(tf.zeros([1, gates]), tf.zeros([1, gates]), bias)
    projected = tf.split(tf.constant([z], tf.float32), gates, axis=1)
    found = step(kind, projected, tuple(tf.constant([[part]], tf.float32) for part in state), by_gate(kind, weights))
    np.testing.assert_allclose(np.ravel(found), expected, atol=1e-6)
