"""Which strategy is chosen, and whether its replicas can share a batch."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf

from charflow.model.distributed.strategy import check_batch, make_strategy
from charflow.pipeline.errors import UserError

ON_CPUS = pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU: hide it to test the CPU"
)


def cluster(index: int = 0, **tasks: list[str]) -> str:
    return json.dumps({"cluster": tasks, "task": {"type": "worker", "index": index}})


@ON_CPUS
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


@ON_CPUS
@pytest.mark.parametrize("variables", [{"SLURM_NTASKS": ""}, {"SLURM_NTASKS": "2"}], ids=["empty", "no srun"])
def test_a_shell_of_slurm_is_no_cluster(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert isinstance(make_strategy(), tf.distribute.OneDeviceStrategy)


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The resolvers of the clusters that a strategy would be made for, in place of joining them."""
    resolvers: list[Any] = []
    monkeypatch.setattr(
        "charflow.model.distributed.strategy._multi_worker", lambda resolver: resolvers.append(resolver) or "joined"
    )
    return resolvers


def srun(monkeypatch: pytest.MonkeyPatch, task: int, nodes: str, tasks: str, count: int, node: str = "") -> None:
    """Sets what srun sets for one task of a step."""
    variables = {"PROCID": task, "STEP_NODELIST": nodes, "STEP_TASKS_PER_NODE": tasks, "STEP_NUM_TASKS": count}
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    if node:
        monkeypatch.setenv("SLURMD_NODENAME", node)


@ON_CPUS
@pytest.mark.parametrize(
    ("nodes", "tasks", "workers"),
    [
        ("n[01-02]", "1(x2)", ["n01:8888", "n02:8888"]),
        ("n1,m[5-6]", "2(x2),1", ["m5:8888", "m5:8889", "m6:8888", "n1:8888", "n1:8889"]),
        ("a,b", "1,3", ["a:8888", "b:8888", "b:8889", "b:8890"]),
        ("node", "3", ["node:8888", "node:8889", "node:8890"]),
    ],
    ids=["one each", "uneven", "more on a later node", "one node"],
)
def test_a_step_of_slurm_is_a_cluster(
    monkeypatch: pytest.MonkeyPatch, joined: list[Any], nodes: str, tasks: str, workers: list[str]
) -> None:
    last = len(workers) - 1
    srun(monkeypatch, last, nodes, tasks, len(workers))
    assert make_strategy() == "joined"
    (resolver,) = joined
    assert resolver.cluster_spec().as_dict() == {"worker": workers}
    assert (resolver.task_type, resolver.task_id) == ("worker", last)


@ON_CPUS
@pytest.mark.parametrize("node", ["n2", "n2.cluster.example"])
def test_a_node_is_known_by_its_short_name(monkeypatch: pytest.MonkeyPatch, joined: list[Any], node: str) -> None:
    srun(monkeypatch, 1, "n[1-2]", "1(x2)", 2, node)
    assert make_strategy() == "joined"


@ON_CPUS
@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            (0, "z,a", "1(x2)", 2, "z"),
            "TensorFlow takes Slurm's nodes in alphabetical order and gives task 0 the address of a, but it runs on z: "
            "choose nodes whose names sort in Slurm's order, or set TF_CONFIG.",
        ),
        ((0, "n[1", "1(x2)", 2), "Slurm's cluster cannot be read: Invalid hostlist format "),
        ((0, "n[1-2]", "1", 2), "Slurm's cluster cannot be read: Requested 2 tasks but only 1 were assigned."),
        ((5, "n[1-2]", "1(x2)", 2), "Slurm's cluster cannot be read: it has no task 5 among 2."),
    ],
    ids=["order", "nodes", "tasks", "rank"],
)
def test_a_cluster_of_slurm_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, joined: list[Any], step: tuple[Any, ...], message: str
) -> None:
    srun(monkeypatch, *step)
    with pytest.raises(UserError) as caught:
        make_strategy()
    assert str(caught.value).startswith(message)
    assert joined == []


@ON_CPUS
def test_variables_of_a_job_alone_do_not_make_a_step(monkeypatch: pytest.MonkeyPatch, joined: list[Any]) -> None:
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(UserError, match="SLURM_STEP_NUM_TASKS not found in environment"):
        make_strategy()
    assert joined == []


@pytest.fixture
def no_tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "TPU_NAME", "TPU_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "master"),
    [
        ({"TPU_NAME": "grpc://10.1.2.3:8470"}, "grpc://10.1.2.3:8470"),
        ({"KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS": "grpc://10.1.2.3:8470"}, "grpc://10.1.2.3:8470"),
        ({"TPU_NAME": "local"}, ""),
    ],
    ids=["named", "Kubernetes", "local"],
)
@pytest.mark.usefixtures("no_tpu")
def test_a_tpu_is_connected_to_and_started_before_its_strategy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], master: str
) -> None:
    done: list[tuple[str, str]] = []
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ("config.experimental_connect_to_cluster", "tpu.experimental.initialize_tpu_system"):
        monkeypatch.setattr(f"tensorflow.{name}", lambda resolver, name=name: done.append((name, resolver.master())))
    monkeypatch.setattr("tensorflow.distribute.TPUStrategy", lambda resolver: ("TPU", resolver.master()))
    assert make_strategy("tpu") == ("TPU", master)
    assert done == [
        ("config.experimental_connect_to_cluster", master),
        ("tpu.experimental.initialize_tpu_system", master),
    ]


@pytest.mark.usefixtures("no_tpu")
def test_no_tpu_is_said() -> None:
    with pytest.raises(UserError, match=r"^There is no TPU to train on: .*TPU Name"):
        make_strategy("tpu")
