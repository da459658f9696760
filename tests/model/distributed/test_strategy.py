"""Which strategy is chosen, and whether its replicas can share a batch."""

import json
from types import SimpleNamespace

import pytest
import tensorflow as tf

from charflow.model.distributed.strategy import check_batch, make_strategy
from charflow.pipeline.errors import UserError


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU: hide it to test the CPU")
def cluster(index: int = 0, **tasks: list[str]) -> str:
    return json.dumps({"cluster": tasks, "task": {"type": "worker", "index": index}})


def test_make_strategy_without_a_gpu_uses_the_cpu() -> None:
    strategy = make_strategy()
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    assert strategy.num_replicas_in_sync == 1
    assert [tf.DeviceSpec.from_string(name).device_type for name in strategy.extended.worker_devices] == ["CPU"]


@pytest.mark.parametrize(("replicas", "batch", "nearest"), [(2, 7, 8), (4, 5, 4), (8, 3, 8), (3, 128, 129)], ids=str)
def test_check_batch_names_the_nearest_size_that_works(replicas: int, batch: int, nearest: int) -> None:
    strategy = SimpleNamespace(num_replicas_in_sync=replicas)
    message = rf"^{replicas} replicas cannot share a batch of {batch}: set batch_size to {nearest}\.$"
    with pytest.raises(UserError, match=message):
        check_batch(strategy, batch)
    assert check_batch(strategy, nearest) is None


def test_check_batch_of_one_replica_takes_any_size() -> None:
    assert check_batch(SimpleNamespace(num_replicas_in_sync=1), 7) is None


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TF_CONFIG": "{"}, "TF_CONFIG"),
        ({"TF_CONFIG": cluster(chief=["127.0.0.1:1"], worker=["127.0.0.1:2"])}, "nothing else"),
        ({"TF_CONFIG": cluster(worker=["127.0.0.1", "127.0.0.1:2"])}, "must give every worker as host:port, not 127"),
        (
            {"TF_CONFIG": cluster(index=5, worker=["127.0.0.1:1", "127.0.0.1:2"])},
            "makes this task worker 5",
        ),
        (
            {"TF_CONFIG": cluster(worker=["127.0.0.1:1", "127.0.0.1:2"]), "CHARFLOW_JOIN_TIMEOUT": "2m"},
            "CHARFLOW_JOIN_TIMEOUT must be a number of seconds, not '2m'.",
        ),
    ],
    ids=["no JSON", "chief", "port", "index", "timeout"],
)
def test_a_cluster_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        make_strategy()


@pytest.mark.parametrize("variables", [{"SLURM_NTASKS": ""}, {"SLURM_NTASKS": "2"}], ids=["empty", "no srun"])
def test_a_shell_of_slurm_is_no_cluster(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert isinstance(make_strategy(), tf.distribute.OneDeviceStrategy)
