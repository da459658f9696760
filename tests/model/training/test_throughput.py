"""The counted work against counting by hand, and the measured pace against what it must be consistent with."""

from dataclasses import replace

import pytest
import tensorflow as tf

from charflow.model.config import Config, NetworkConfig, TrainingConfig
from charflow.model.training.throughput import available_strategies, flops_per_window, measure_peak, measure_throughput
from charflow.model.training_text import TextInMemory

CONFIG = Config(
    network=NetworkConfig(units=8, layers=2, dropout=0.0),
    training=TrainingConfig(window_length=5, window_shift=1, batch_size=4, steps=1),
)


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
def test_measure_throughput_agrees_with_itself(make_corpus) -> None:
    text = TextInMemory(make_corpus("abcd " * 20, "abcd"))
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    found = measure_throughput(CONFIG, text, strategy, seconds=0.2)
    assert found.devices == ("CPU:0",)
    assert found.windows_per_second == pytest.approx(4 / (found.milliseconds_per_step / 1e3))
    assert found.labels_per_second == pytest.approx(5 * found.windows_per_second)
    per_window = flops_per_window(CONFIG, text.vocabulary.size)
    assert found.flops_per_second == pytest.approx(per_window * found.windows_per_second)
    assert 0 < found.share_of_peak < 1  # a network this small is far from the peak


@pytest.mark.slow
def test_measure_peak_is_plausible() -> None:
    assert 1e8 < measure_peak("/cpu:0") < 1e14


def test_available_strategies_has_the_cpu() -> None:
    assert "one CPU" in available_strategies()
