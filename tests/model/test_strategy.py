"""Which strategy is chosen, and whether its replicas can share a batch."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from charflow.model.strategy import check_batch, make_strategy
from charflow.pipeline.errors import UserError


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU: hide it to test the CPU")
def test_make_strategy_without_a_gpu_uses_the_cpu() -> None:
    strategy = make_strategy()
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    assert strategy.num_replicas_in_sync == 1
    assert [tf.DeviceSpec.from_string(name).device_type for name in strategy.extended.worker_devices] == ["CPU"]


@pytest.mark.parametrize(("replicas", "batch", "nearest"), [(2, 7, 8), (4, 5, 4), (8, 3, 8), (3, 128, 129)], ids=str)
def test_check_batch_names_the_nearest_size_that_works(replicas: int, batch: int, nearest: int) -> None:
    strategy = SimpleNamespace(num_replicas_in_sync=replicas)
    message = rf"^{replicas} replicas cannot share a batch of {batch}: use --batch-size {nearest}\.$"
    with pytest.raises(UserError, match=message):
        check_batch(strategy, batch)
    assert check_batch(strategy, nearest) is None


def test_check_batch_of_one_replica_takes_any_size() -> None:
    assert check_batch(SimpleNamespace(num_replicas_in_sync=1), 7) is None
