"""Steps on two batches of a tiny text, under strategies of one replica."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.config import NetworkConfig, TrainingConfig
from charflow.model.network.network import Network
from charflow.model.training.optimizer import make_optimizer
from charflow.model.training.steps import Steps
from charflow.model.training_text import TextInMemory
from charflow.pipeline.code_points import points_of
from charflow.pipeline.read_only import ReadOnlyMarker

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


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["next", "all"])
def test_steps_on_replies_average_over_what_is_learned(targets: str, make_corpus: Callable) -> None:
    corpus = make_corpus("ab\x02 cab\x03ba\x02 ac\x03c\x02 bac\x03\x02 cab\x03")
    size = corpus.vocabulary.size
    marked = corpus.vocabulary.ids_of(ReadOnlyMarker()(points_of(corpus.vocabulary.decode(corpus.ids))))
    text = TextInMemory(replace(corpus, ids=marked))
    training = replace(TRAINING, targets=targets)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        network = Network(NetworkConfig(units=5, dropout=0.0), size, targets=targets, seed=1)
        optimizer = make_optimizer(training)
        optimizer.build(network.model.trainable_variables)
    steps = Steps(strategy, network, optimizer, training, training.batch_size, replies=True)
    inputs, wanted = (part.numpy().astype(int) for part in next(steps.batches(text, 0)))
    logits = network.model(inputs % size).numpy().astype(np.float64)
    nats = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, (wanted % size)[..., np.newaxis], -1)[..., 0]
    assert 0 < (wanted < size).mean() < 1
    (loss,) = steps.run(steps.batches(text, 0), [0.1], 0)
    assert loss == pytest.approx(nats[wanted < size].mean(), rel=1e-5)
