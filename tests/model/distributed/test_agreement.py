"""What workers agree on; real workers meet in `test_replicas` and `test_lost_worker`."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.distributed.agreement import Agreement


def agreement(worker: int, others: list[list[float]], *, replicas: int = 1) -> Agreement:
    """One of several workers, each with so many replicas; `others` have what the others give to each question."""
    found = Agreement(tf.distribute.OneDeviceStrategy("/cpu:0"))
    found._here = SimpleNamespace(chief=worker == 0, workers=2, replicas=2 * replicas)

    def summed(own: tf.Tensor) -> tf.Tensor:
        other = others.pop(0)
        return replicas * own + tf.constant([*other, *np.zeros(2 - len(other))], tf.float64)

    found._sum = summed
    return found


def test_one_worker_agrees_with_itself() -> None:
    alone = Agreement(tf.distribute.OneDeviceStrategy("/cpu:0"))
    assert alone.broadcast(1.5, 7) == (1.5, 7.0)
    assert alone.any_worker(False, True) == (False, True)
    alone.barrier()


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_broadcast_gives_what_the_chief_gave(replicas: int) -> None:
    chief = agreement(0, [[0.0, 0.0]], replicas=replicas)
    worker = agreement(1, [[12.25, 3.0]], replicas=replicas)
    assert chief.broadcast(12.25, 3.0) == worker.broadcast(99.0, 98.0) == (12.25, 3.0)


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [(False, False, False), (True, False, True), (False, True, True), (True, True, True)],
    ids=["none", "this one", "the other", "both"],
)
def test_any_worker_hears_every_flag(own: bool, other: bool, expected: bool) -> None:
    for worker in range(2):
        assert agreement(worker, [[other, False]]).any_worker(own, False) == (expected, False)
        assert agreement(worker, [[other]]).any_worker(own) == (expected,)
