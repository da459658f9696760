"""Steps on two batches of a tiny text, under strategies of one replica."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.config import NetworkConfig, TrainingConfig
from charflow.model.network.network import Network
from charflow.model.training.optimizer import make_optimizer
from charflow.model.training.steps import Steps
from charflow.model.training_text import TextInMemory

TRAINING = TrainingConfig(window_length=6, batch_size=4, steps=10)


@pytest.fixture(params=[lambda: tf.distribute.OneDeviceStrategy("/cpu:0"), lambda: tf.distribute.MirroredStrategy()])
def strategy(request: pytest.FixtureRequest) -> tf.distribute.Strategy:
    return request.param()


@pytest.mark.slow
def test_steps_read_a_plain_iterator_and_compile_once(strategy: tf.distribute.Strategy, make_corpus: Callable) -> None:
    """A strategy's own iterator makes whoever drops it wait; a second graph would be taken for a slow pace."""
    text = TextInMemory(make_corpus("ab cab abc bca cab bac abc"))
    with strategy.scope():
        network = Network(NetworkConfig(units=5, dropout=0.0), text.vocabulary.size, targets="all", seed=1)
        optimizer = make_optimizer(TRAINING)
        optimizer.build(network.model.trainable_variables)
    steps = Steps(strategy, network, optimizer, TRAINING, TRAINING.batch_size)
    batches = steps.batches(text, 0)
    assert isinstance(batches, tf.data.Iterator)
    losses = np.concatenate([steps.run(batches, [0.1] * count, first) for first, count in ((0, 1), (1, 4), (5, 2))])
    assert losses.shape == (7,)
    assert np.isfinite(losses).all()
    assert steps._run.experimental_get_tracing_count() == 1
