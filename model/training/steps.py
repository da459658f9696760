"""Takes training steps under a tf.distribute strategy, many in one call of a graph.

`loop` and the benchmark of training drive it. B is the global batch size, T the window length, R the replicas.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from charflow.model.config import Config, TrainingConfig
from charflow.model.distributed.strategy import placement
from charflow.model.network.network import Network
from charflow.model.training.optimizer import make_optimizer
from charflow.model.training_text import TrainingText
from charflow.pipeline.read_only import is_learned, plain
from charflow.pipeline.windows import Share


def untrained(config: Config, vocabulary_size: int) -> tuple[Network, keras.optimizers.Optimizer]:
    """Makes the network and the built optimizer that a configuration describes, in the scope of a strategy."""
    training = config.training
    network = Network(
        config.network,
        vocabulary_size,
        targets=training.targets,
        seed=training.seed,
        precision=training.precision,
    )
    optimizer = make_optimizer(training)
    optimizer.build(network.model.trainable_variables)
    return network, optimizer


class Steps:
    """The training step of a network.

    Args:
        strategy: where to compute; network and optimizer were made in its scope.
        network: what is trained.
        optimizer: its update rule, built.
        training: targets, clipping, seed.
        batch_size: B.
        replies: whether some ids are read-only (see `pipeline.read_only`).
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        network: Network,
        optimizer: keras.optimizers.Optimizer,
        training: TrainingConfig,
        batch_size: int,
        *,
        replies: bool = False,
    ) -> None:
        self._strategy, self._network, self._optimizer, self._replies = strategy, network, optimizer, replies
        self._training, self._batch_size = training, batch_size
        self._placement = placement(strategy)
        self._run: Callable[..., tf.Tensor] | None = None

    def batches(self, text: TrainingText, first_step: int) -> Iterator[Any]:
        """Makes the endless batches from a step on, each as the parts of this worker's replicas, one after the other.

        A plain iterator, dealt out in the graph, is gone as soon as it is dropped, and three to five times as fast as
        the iterator that a strategy makes: that one is tuned by a thread of its own, whose sleep of up to a minute it
        waits for in the end.
        """
        here = self._placement
        own = here.replicas // here.workers
        share = Share(first=here.worker * own, count=own, total=here.replicas)
        return iter(text.windows(self._training, self._batch_size, first_step, share))

    def run(self, batches: Iterator[Any], rates: list[float], first_step: int) -> np.ndarray:
        """Takes as many steps as there are learning rates.

        Returns:
            Their losses, nats per target that is learned, float32 [steps].
        """
        if self._run is None:  # with a signature, or the second number of rates would compile it all again
            kinds = (tf.type_spec_from_value(batches), tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int64))
            self._run = tf.function(self._run_steps, input_signature=kinds, autograph=False)
        losses = self._run(batches, tf.constant(rates, tf.float32), tf.constant(first_step, tf.int64))
        return losses.numpy()

    def _run_steps(self, batches: Iterator[Any], rates: tf.Tensor, first_step: tf.Tensor) -> tf.Tensor:
        strategy, count = self._strategy, tf.size(rates)

        def step(k: tf.Tensor, losses: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            self._optimizer.learning_rate.assign(rates[k])
            inputs, targets = strategy.experimental_distribute_values_from_function(lambda _: next(batches))
            loss = strategy.run(self._replica_step, args=(inputs, targets, first_step + tf.cast(k, tf.int64)))
            return k + 1, losses.write(k, strategy.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None))

        losses = tf.TensorArray(tf.float32, size=count, element_shape=[])
        return tf.while_loop(lambda k, _: k < count, step, (0, losses))[1].stack()

    def _replica_step(self, inputs: tf.Tensor, targets: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        training, learned = self._training, None
        per_batch: Any = self._batch_size * (training.window_length if training.targets == "all" else 1)
        if self._replies:
            size = self._network.vocabulary_size
            inputs, targets = tf.cast(inputs, tf.int32), tf.cast(targets, tf.int32)
            learned = tf.cast(is_learned(targets, size), tf.float32)
            per_batch = tf.maximum(self._over_replicas(tf.reduce_sum(learned)), 1.0)
            inputs, targets = plain(inputs, size), plain(targets, size)
        weight = self._optimizer.scale_loss(tf.convert_to_tensor(1.0 / per_batch))
        loss, gradients = self._network.loss_and_gradients(inputs, targets, step, weight, learned)
        # Before the optimizer clips and looks for overflow, so that the update does not depend on their number.
        self._optimizer.apply(self._over_replicas(gradients))
        return loss / per_batch

    def _over_replicas(self, values: Any) -> Any:
        """Sums tensors over all replicas; of one alone TensorFlow would still keep every graph that it traces."""
        if self._placement.replicas == 1:
            return values
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)
