"""The network's shapes, weights and dropout."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.config import NetworkConfig
from charflow.model.decoding.decoder import make_decoder
from charflow.model.network.network import Network

IDS = np.array([[1, 2, 3], [4, 0, 1]], np.uint8)
TARGETS = np.array([2, 3], np.uint8)
each_cell = pytest.mark.parametrize("cell", ["lstm", "gru"])


def loss_at(network: Network, step: int) -> float:
    return float(network.loss_and_gradients(IDS, TARGETS, tf.constant(step, tf.int64))[0])


@each_cell
def test_network_makes_one_hot_of_ids_itself(make_network: Callable, cell: str) -> None:
    network = make_network(cell)
    kernel, recurrent, bias = (weight.numpy() for weight in network.layers[0])
    (layer,) = (layer for layer in network.model.layers if layer.name == "recurrent_0")
    assert network.model.input_shape == (None, None)
    assert kernel.shape[0] == 5
    hidden = layer(np.eye(5, dtype=np.float32)[IDS])
    np.testing.assert_allclose(network.model(IDS), network.model.get_layer("logits")(hidden), atol=1e-6)
    assert recurrent.shape[0] == 6
    assert bias.shape == {"lstm": (24,), "gru": (2, 18)}[cell]


@pytest.mark.parametrize(("targets", "shape"), [("next", [2, 5]), ("all", [2, 3, 5])], ids=["next", "all"])
@each_cell
def test_network_logits_have_the_shape_of_the_targets(
    make_network: Callable, cell: str, targets: str, shape: list
) -> None:
    assert make_network(cell, 2, targets).model(IDS).shape == shape


@each_cell
def test_network_for_all_targets_ends_as_the_one_for_the_next(make_network: Callable, cell: str) -> None:
    every, last = make_network(cell, 2, "all").model(IDS), make_network(cell, 2, "next").model(IDS)
    np.testing.assert_allclose(every[:, -1], last, atol=1e-6)


@each_cell
def test_network_of_the_same_seed_has_the_same_weights(cell: str) -> None:
    config = NetworkConfig(cell=cell, units=4, layers=2)
    first, again, other = (Network(config, 5, targets="all", seed=seed).model.get_weights() for seed in (3, 3, 4))
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    drawn = [place for place, weight in enumerate(first) if weight.ndim == 2 and weight.any() and weight.min() < 0]
    assert len(drawn) == 5  # kernel and recurrent kernel of both layers, and the dense kernel; biases start fixed
    for place in drawn:
        assert not np.array_equal(first[place], other[place])


def test_network_draws_every_weight_matrix_anew() -> None:
    weights = Network(NetworkConfig(units=8, layers=3), 8, targets="all", seed=0).model.get_weights()
    same_shape = [weight for weight in weights if weight.shape == (8, 32)]
    assert len(same_shape) == 6
    assert len({weight.tobytes() for weight in same_shape}) == 6


@each_cell
def test_input_init_is_the_limit_of_the_first_kernel(cell: str) -> None:
    configs = [NetworkConfig(cell=cell, units=8, layers=2, input_init=limit) for limit in (0.0, 0.6)]
    (glorots, second), (drawn, same) = (Network(each, 5, targets="all", seed=0).layers for each in configs)
    glorot = math.sqrt(6 / (5 + glorots.kernel.shape[1]))
    np.testing.assert_allclose(drawn.kernel, 0.6 / glorot * glorots.kernel, rtol=1e-5)
    assert 0.5 < np.abs(drawn.kernel).max() <= 0.6
    for mine, others in zip((*drawn[1:], *same), (*glorots[1:], *second), strict=True):
        np.testing.assert_array_equal(mine, others)


@pytest.mark.parametrize(
    ("cell", "layers", "expected"),
    [
        ("lstm", 1, 4 * 6 * (5 + 6 + 1) + 6 * 5 + 5),
        ("lstm", 2, 4 * 6 * (5 + 6 + 1) + 4 * 6 * (6 + 6 + 1) + 6 * 5 + 5),
        ("gru", 1, 3 * 6 * (5 + 6 + 2) + 6 * 5 + 5),
    ],
    ids=["lstm", "two lstm", "gru"],
)
def test_n_weights_counts_every_float(make_network: Callable, cell: str, layers: int, expected: int) -> None:
    network = make_network(cell, layers)
    assert network.n_weights == expected
    assert network.n_weights == sum(weight.size for weight in network.model.get_weights())


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["next", "all"])
@each_cell
def test_loss_and_gradients_are_those_of_the_model(make_network: Callable, cell: str, targets: str) -> None:
    network = make_network(cell, 1, targets)
    wanted = TARGETS if targets == "next" else IDS
    loss, gradients = network.loss_and_gradients(IDS, wanted, tf.constant(0, tf.int64))
    variables = [variable.value for variable in network.model.trainable_variables]
    with tf.GradientTape() as tape:
        log_probs = tf.nn.log_softmax(network.model(IDS))
        expected = -tf.reduce_sum(tf.gather(log_probs, wanted.astype(np.int32), batch_dims=wanted.ndim))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for gradient, expected_gradient in zip(gradients, tape.gradient(expected, variables), strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)


@each_cell
@pytest.mark.slow
def test_gradients_are_those_of_the_weighted_sum(make_network: Callable, cell: str) -> None:
    network = make_network(cell, 2)
    step = tf.constant(0, tf.int64)
    loss, gradients = network.loss_and_gradients(IDS, TARGETS, step)
    same, weighted = network.loss_and_gradients(IDS, TARGETS, step, weight=0.25)
    assert float(same) == float(loss)
    for gradient, quarter in zip(gradients, weighted, strict=True):
        np.testing.assert_array_equal(quarter, 0.25 * gradient)


@pytest.fixture
def gpu_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes TensorFlow name a GPU; tracing for one needs none."""
    listed = tf.config.list_logical_devices
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind=None: ["GPU:0"] if kind == "GPU" else listed(kind)
    )


def types_of_cudnn(network: Network) -> set[tf.DType]:
    """In which types cuDNN computes a training step."""
    train = tf.function(network.loss_and_gradients, autograph=False)
    graph = train.get_concrete_function(IDS, IDS, tf.constant(0, tf.int64)).graph.as_graph_def()
    nodes = [node for part in (graph.node, *(f.node_def for f in graph.library.function)) for node in part]
    return {tf.as_dtype(node.attr["T"].type) for node in nodes if "Cudnn" in node.op}


@pytest.mark.usefixtures("gpu_beside")
@pytest.mark.parametrize(
    ("precision", "computed"), [("float32", tf.float32), ("float16", tf.float16), ("bfloat16", tf.float32)]
)
@each_cell
def test_network_calls_cudnn_where_its_strategy_computes_on_a_gpu_only(
    cell: str, precision: str, computed: tf.DType
) -> None:
    """cuDNN's op has no CPU kernel: TensorFlow would take it to the GPU, and each step there and back.

    On an H200 it left the weights of bfloat16 without a gradient.
    """
    make = partial(Network, NetworkConfig(cell=cell, units=4), 5, targets="all", seed=1, precision=precision)
    assert types_of_cudnn(make()) == {computed}
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        on_cpu = make()
    assert not types_of_cudnn(on_cpu)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "relative"), [("bfloat16", 0.02), ("float16", 0.003)])
@each_cell
def test_half_precision_rounds_the_loss_and_gradients_only(cell: str, precision: str, relative: float) -> None:
    config = NetworkConfig(cell=cell, units=32, layers=2, dropout=0.3)
    full, half = (Network(config, 5, targets="all", seed=3, precision=each) for each in ("float32", precision))
    for weight, same in zip(full.model.get_weights(), half.model.get_weights(), strict=True):
        assert same.dtype == np.float32
        np.testing.assert_array_equal(same, weight)
    step = tf.constant(7, tf.int64)
    loss, gradients = full.loss_and_gradients(IDS, IDS, step)
    near, rounded = half.loss_and_gradients(IDS, IDS, step)
    assert (near.dtype, float(near)) == (tf.float32, pytest.approx(float(loss), rel=relative))
    assert float(near) != float(loss)  # it does compute in another precision
    for gradient, other in zip(gradients, rounded, strict=True):
        assert other.dtype == tf.float32
        np.testing.assert_allclose(other, gradient, atol=10 * relative * float(tf.reduce_max(tf.abs(gradient))))


@each_cell
@pytest.mark.slow
def test_dropout_depends_on_seed_and_step_alone(cell: str) -> None:
    config = NetworkConfig(cell=cell, units=6, dropout=0.5)
    network, twin, other = (Network(config, 5, targets="next", seed=seed) for seed in (1, 1, 2))
    other.model.set_weights(network.model.get_weights())
    losses = [loss_at(network, step) for step in range(6)]
    assert len(set(losses)) > 3  # it drops something, and not always the same
    assert [loss_at(network, step) for step in reversed(range(6))] == losses[::-1]
    assert [loss_at(twin, step) for step in range(6)] == losses
    assert [loss_at(other, step) for step in range(6)] != losses


@pytest.mark.slow
@each_cell
def test_dropout_of_nearly_everything_leaves_the_bias(cell: str) -> None:
    network = Network(NetworkConfig(cell=cell, units=6, dropout=0.999999), 5, targets="next", seed=1)
    assert loss_at(network, step=0) == pytest.approx(len(TARGETS) * np.log(5))


@pytest.mark.slow
def test_dropout_keeps_the_expected_output() -> None:
    network = Network(NetworkConfig(units=64, dropout=0.5), 5, targets="next", seed=1)
    kernel, _ = network.model.get_layer("logits").trainable_variables
    kernel.assign(0.01 * np.ones(kernel.shape))  # small and alike: the logits' mean is the loss's only change
    plain = Network(NetworkConfig(units=64, dropout=0.0), 5, targets="next", seed=1)
    plain.model.set_weights(network.model.get_weights())
    gradient = lambda network, step: network.loss_and_gradients(IDS, TARGETS, tf.constant(step, tf.int64))[1][-2]  # noqa: E731
    mean = np.mean([gradient(network, step) for step in range(100)], axis=0)
    expected = gradient(plain, 0)
    # 100 draws of keep-or-drop: the standard error of a mean is its value / sqrt(100) = 10 %; 4 of them
    np.testing.assert_allclose(mean, expected, atol=0.4 * np.abs(expected).max())
    assert np.linalg.norm(mean) == pytest.approx(np.linalg.norm(expected), rel=0.1)


@each_cell
def test_dropout_is_off_where_the_model_is_not_training(cell: str) -> None:
    dropping = Network(NetworkConfig(cell=cell, units=6, dropout=0.5), 5, targets="next", seed=1)
    plain = Network(NetworkConfig(cell=cell, units=6, dropout=0.0), 5, targets="next", seed=1)
    np.testing.assert_array_equal(dropping.model(IDS), plain.model(IDS))


@pytest.mark.parametrize("kind", ["stream", "window"])
@pytest.mark.slow
def test_decoder_follows_the_weights_as_they_change(kind: str) -> None:
    network = Network(NetworkConfig(units=4), 5, targets="next", seed=1)
    decoder = make_decoder(network, kind, 3)
    logits = tf.function(
        lambda ids: decoder.logits(decoder.read(decoder.context.zero_state(2), ids, tf.constant([3, 3])))
    )
    np.testing.assert_allclose(logits(IDS.astype(np.int32))[:, 1:], network.model(IDS)[:, 1:], atol=1e-6)
    network.model.set_weights([weight + 0.3 for weight in network.model.get_weights()])
    np.testing.assert_allclose(logits(IDS.astype(np.int32))[:, 1:], network.model(IDS)[:, 1:], atol=1e-6)
