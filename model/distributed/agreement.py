"""What several workers must know of each other so that all take the same steps.

Time passes differently for each, and a signal may reach one alone: whoever trains goes by what is agreed here.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from charflow.model.distributed.strategy import placement

_WIDTH = 2  # numbers that are exchanged at once


class Agreement:
    """The workers of a strategy; where there is one, it agrees with itself at no cost.

    All of them ask the same, in the same order: each question waits for the last worker's answer.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy, self._here = strategy, placement(strategy)
        self._sum = tf.function(self._sum_up, input_signature=[tf.TensorSpec([_WIDTH], tf.float64)], autograph=False)

    def broadcast(self, *values: float) -> tuple[float, ...]:
        """Gives every worker what the chief gave, two values at most."""
        return self._exchange(values if self._here.chief else [0.0] * len(values))

    def any_worker(self, *flags: bool) -> tuple[bool, ...]:
        """Says of each flag, two at most, whether any worker has raised it."""
        return tuple(raised > 0 for raised in self._exchange(flags))

    def barrier(self) -> None:
        """Waits until every worker has come here."""
        self._exchange([])

    def _exchange(self, own: Sequence[float]) -> tuple[float, ...]:
        """Sums over the workers."""
        if self._here.workers == 1:
            return tuple(map(float, own))
        figures = np.zeros(_WIDTH)
        figures[: len(own)] = own
        replicas = self._here.replicas // self._here.workers  # each of them gives its share
        return tuple(self._sum(tf.constant(figures / replicas)).numpy()[: len(own)].tolist())

    def _sum_up(self, own: tf.Tensor) -> tf.Tensor:
        def on_replica(own: tf.Tensor) -> tf.Tensor:
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(own))

        return self._strategy.experimental_local_results(self._strategy.run(on_replica, args=(own,)))[0]
