"""The counted work against counting by hand, and the measured pace against what it must be consistent with."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from charflow.benchmarks.gradients import ways
from charflow.benchmarks.limits import product_flops
from charflow.benchmarks.training import (
    available_strategies,
    flops_per_window,
    measure_recipe,
    measure_strategies,
)
from charflow.model.config import Config, NetworkConfig, TrainingConfig
from charflow.model.network.network import Network
from charflow.model.training_text import TextInMemory
from charflow.pipeline.corpus.corpus import build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError

CONFIG = Config(
    network=NetworkConfig(units=8, layers=2, dropout=0.0),
    training=TrainingConfig(window_length=5, window_shift=1, batch_size=4, steps=1),
)


@pytest.fixture(scope="module")
def text(sample_chat: str) -> TextInMemory:
    return TextInMemory(build_corpus([sample_chat], CorpusSettings(users=("mira",))))


@pytest.mark.parametrize(
    ("cell", "targets", "expected"),
    [
        # 5 characters x (2 recurrent + 1 between layers) x 2 x 8 x gates x 8, and the dense layer's 2 x 8 x 7 a target
        ("lstm", "all", 3 * (5 * 3 * 2 * 8 * 32 + 5 * 2 * 8 * 7)),
        ("lstm", "next", 3 * (5 * 3 * 2 * 8 * 32 + 2 * 8 * 7)),
        ("gru", "all", 3 * (5 * 3 * 2 * 8 * 24 + 5 * 2 * 8 * 7)),
    ],
    ids=["lstm", "next character only", "gru"],
)
def test_flops_per_window_counts_the_products(cell: str, targets: str, expected: int) -> None:
    config = replace(
        CONFIG, network=replace(CONFIG.network, cell=cell), training=replace(CONFIG.training, targets=targets)
    )
    assert flops_per_window(config, 7) == expected


@pytest.mark.slow
def test_every_way_has_a_figure_a_turn(text: TextInMemory) -> None:
    strategies = {"here": tf.distribute.OneDeviceStrategy("/cpu:0")}
    found = measure_strategies(CONFIG, text, strategies, seconds=0.2, turns=2)
    names = ["charflow, here", "products alone, float32 (CPU)", "products alone, bfloat16 (CPU)"]
    assert [way.name for way in found.ways] == names
    assert all(len(way.figures) == 2 and min(way.figures) > 0 for way in found.ways)
    assert found.ratio(found.ways[1]) < 1  # a network this small is far from its products' limit
    too_long = replace(CONFIG, training=replace(CONFIG.training, window_length=1_000_000))
    with pytest.raises(UserError, match="window"):
        measure_strategies(too_long, text, strategies, seconds=0.2, turns=2)


@pytest.mark.slow
def test_the_recipe_trains_beside_charflow(text: TextInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charflow.benchmarks.training._RECIPE_BATCHES", 2)
    found = measure_recipe(text, seconds=0.1, turns=1)
    assert [way.name for way in found.ways] == ["charflow", "recipe"]


@pytest.mark.slow
def test_product_flops_are_plausible() -> None:
    assert 1e8 < product_flops("CPU")() < 1e14


def test_available_strategies_has_the_cpu() -> None:
    assert "one CPU" in available_strategies()


@pytest.mark.slow
def test_all_ways_of_a_gradient_have_the_same_loss() -> None:
    network = Network(NetworkConfig(units=64, dropout=0.0), 9, targets="all", seed=0)
    text = np.random.default_rng(0).integers(0, 9, [32, 6])
    found = ways(network, tf.constant(text[:, :-1], tf.int32), tf.constant(text[:, 1:], tf.int32))
    losses = {name: float(gradient()[0]) for name, gradient in found.items()}
    assert losses == {name: pytest.approx(losses["Keras layer, graph mode"], rel=1e-5) for name in found}
    assert next(iter(found)) == "charflow"
