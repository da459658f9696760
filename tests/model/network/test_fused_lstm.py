"""The CPU's faster gradient against finite differences, an eager loop and the Keras model."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.network.cells import CellWeights, by_gate, step
from charflow.model.network.fused_lstm import (
    count_parts,
    loss_and_gradients,
    lstm_sequence,
    part_loss_and_gradients,
)
from charflow.model.network.network import Network

STEPS, BATCH, UNITS, VOCABULARY = 4, 3, 6, 5
each_case = pytest.mark.parametrize(
    ("layers", "targets"),
    [(1, "next"), (1, "all"), (2, "next"), (2, "all")],
    ids=["1 layer, next", "1 layer, all", "2 layers, next", "2 layers, all"],
)


@pytest.fixture(scope="module")
def batch() -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Ids [B, T], [UNK] among them, and both kinds of targets."""
    text = np.random.default_rng(5).integers(0, VOCABULARY, [BATCH, STEPS + 1]).astype(np.int32)
    return tf.constant(text[:, :-1]), {"next": tf.constant(text[:, -1]), "all": tf.constant(text[:, 1:])}


def weights_of(network: Network) -> tuple[list[CellWeights], tf.Tensor, tf.Tensor]:
    kernel, bias = (variable.value for variable in network.model.get_layer("logits").trainable_variables)
    layers = [CellWeights(*map(tf.convert_to_tensor, layer)) for layer in network.layers]
    return layers, tf.convert_to_tensor(kernel), tf.convert_to_tensor(bias)


def eager_loss_and_gradients(network, ids, targets, masks):
    """The readable reference: a Python loop over `cells.step`, differentiated by TensorFlow."""
    layers, kernel, bias = weights_of(network)
    weights = [*(tensor for layer in layers for tensor in layer), kernel, bias]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        inputs = [tf.one_hot(ids[:, t], VOCABULARY) for t in range(STEPS)]
        for layer, mask in zip(layers, masks, strict=True):
            state, outputs, gates = (tf.zeros([BATCH, UNITS]), tf.zeros([BATCH, UNITS])), [], by_gate("lstm", layer)
            for x in inputs:
                state = step("lstm", gates.project(x), state, gates)
                outputs.append(state[0])
            inputs = [output * mask[0] for output in outputs]
        hidden = inputs[-1] if targets.shape.rank == 1 else tf.stack(inputs, axis=1)
        log_probs = tf.nn.log_softmax(tf.tensordot(hidden, kernel, axes=1) + bias)
        loss = -tf.reduce_sum(tf.gather(log_probs, targets, batch_dims=targets.shape.rank))
    return loss, tape.gradient(loss, weights)


def keras_loss_and_gradients(network, ids, targets, learned=1.0):
    with tf.GradientTape() as tape:
        logits = network.model(ids, training=True)
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits) * learned)
    return loss, tape.gradient(loss, [variable.value for variable in network.model.trainable_variables])


def assert_same(found, expected) -> None:
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    assert len(found[1]) == len(expected[1])
    for gradient, expected_gradient in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, atol=2e-5, rtol=1e-4)


@pytest.mark.slow
@each_case
def test_loss_and_gradients_equal_the_keras_model(make_network: Callable, batch, layers: int, targets: str) -> None:
    network = make_network("lstm", layers, targets)
    ids, by_kind = batch
    found = loss_and_gradients(*weights_of(network), ids, by_kind[targets], [])
    assert_same(found, keras_loss_and_gradients(network, ids, by_kind[targets]))


@pytest.mark.slow
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "Keras layers"])
@pytest.mark.parametrize("targets", ["next", "all"])
def test_loss_and_gradients_of_the_targets_to_be_learned(
    make_network: Callable, batch, targets: str, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network("lstm", 1, targets)
    monkeypatch.setattr(network, "_fused", fused)
    ids, by_kind = batch
    learned = tf.reshape(tf.range(tf.size(by_kind[targets])) % 2, tf.shape(by_kind[targets]))  # every other one
    learned = tf.cast(learned, tf.float32)
    found = network.loss_and_gradients(ids, by_kind[targets], tf.constant(0, tf.int64), 0.5, learned)
    loss, gradients = keras_loss_and_gradients(network, ids, by_kind[targets], learned)
    assert_same(found, (loss, [0.5 * gradient for gradient in gradients]))


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "targets"), [(1, "next"), (2, "all")], ids=["1 layer, next", "2 layers, all"])
def test_loss_and_gradients_with_masks_equal_an_eager_loop(
    make_network: Callable, batch, layers: int, targets: str
) -> None:
    network = make_network("lstm", layers, targets)
    ids, by_kind = batch
    random = np.random.default_rng(6)
    masks = [tf.constant(random.integers(0, 2, [1, BATCH, UNITS]) * 2.0, tf.float32) for _ in range(layers)]
    found = loss_and_gradients(*weights_of(network), ids, by_kind[targets], masks)
    assert_same(found, eager_loss_and_gradients(network, ids, by_kind[targets], masks))


@pytest.mark.slow
def test_loss_of_equal_logits_is_the_log_of_the_vocabulary_size_for_each_target(batch) -> None:
    ids, by_kind = batch
    layer = CellWeights(tf.zeros([VOCABULARY, 4]), tf.zeros([1, 4]), tf.zeros([4]))
    dense = tf.zeros([1, VOCABULARY]), tf.zeros([VOCABULARY])
    loss, gradients = loss_and_gradients([layer], *dense, ids, by_kind["next"], [])
    np.testing.assert_allclose(loss, BATCH * np.log(VOCABULARY), rtol=1e-6)
    # softmax minus one-hot, summed over the batch
    expected = BATCH / VOCABULARY - np.bincount(by_kind["next"], minlength=VOCABULARY)
    np.testing.assert_allclose(gradients[-1], expected, atol=1e-6)


def numpy_sequence(projected: np.ndarray, recurrent: np.ndarray) -> np.ndarray:
    """`lstm_sequence` in float64, so that finite differences of it are exact to many digits."""
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    h = c = np.zeros([projected.shape[1], recurrent.shape[0]])
    outputs = []
    for z in projected:
        i, f, g, o = np.split(z + h @ recurrent, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def finite_differences(function: Callable[[np.ndarray], float], at: np.ndarray, delta: float = 1e-5) -> np.ndarray:
    gradient = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        bump = np.zeros_like(at)
        bump[place] = delta
        gradient[place] = (function(at + bump) - function(at - bump)) / (2 * delta)
    return gradient


@pytest.mark.parametrize("steps", [1, 2, 5], ids=["1 step", "2 steps", "5 steps"])
def test_lstm_sequence_and_its_gradient_equal_finite_differences(steps: int) -> None:
    random = np.random.default_rng(8)
    projected, recurrent = random.normal(size=[steps, 2, 12]), random.normal(size=[3, 12])
    weighting = random.normal(size=[steps, 2, 3])  # so that no two outputs count alike
    inputs = [tf.constant(array, tf.float32) for array in (projected, recurrent)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = lstm_sequence(*inputs)
        total = tf.reduce_sum(outputs * weighting.astype(np.float32))
    d_projected, d_recurrent = tape.gradient(total, inputs)
    np.testing.assert_allclose(outputs, numpy_sequence(projected, recurrent), atol=1e-6)
    loss = lambda p, r: float((numpy_sequence(p, r) * weighting).sum())  # noqa: E731
    np.testing.assert_allclose(d_projected, finite_differences(lambda p: loss(p, recurrent), projected), atol=1e-5)
    np.testing.assert_allclose(d_recurrent, finite_differences(lambda r: loss(projected, r), recurrent), atol=1e-5)


@pytest.mark.parametrize(
    ("batch_size", "units", "expected"),
    [(32, 256, 2), (64, 256, 4), (48, 256, 3), (128, 128, 4), (34, 256, 2), (33, 256, 1), (16, 128, 1), (64, 1024, 1)],
)
def test_count_parts(batch_size: int, units: int, expected: int) -> None:
    assert count_parts(batch_size, units) == expected


@pytest.mark.parametrize("targets", ["next", "all"])
@pytest.mark.slow
def test_parts_of_a_batch_add_up_to_the_whole(make_network: Callable, targets: str) -> None:
    rng = np.random.default_rng(7)
    ids = tf.constant(rng.integers(0, VOCABULARY, [32, STEPS]), tf.int32)
    wanted = ids[:, -1] if targets == "next" else ids
    masks = [tf.constant(rng.integers(0, 2, [1, 32, UNITS]), tf.float32)]
    learned = tf.constant(rng.integers(0, 2, wanted.shape), tf.float32)
    given = (*weights_of(make_network("lstm", 1, targets)), ids, wanted, masks, learned)
    assert count_parts(32, UNITS) == 2
    assert_same(loss_and_gradients(*given), part_loss_and_gradients(*given))
