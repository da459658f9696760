"""The layout of a local cluster: ports, TF_CONFIG, shares of cores and GPUs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from charflow.model.distributed.cluster import free_ports, share_gpus, visible_gpus, worker_environments


def environments(workers: int, **changes: Any) -> list[dict[str, str]]:
    given = {"join_timeout": 90.0, "environ": {}, "cores": 8, "gpus": [], **changes}
    return worker_environments(workers, **given)


def test_every_worker_is_told_all_addresses_and_its_own_index() -> None:
    configs = [json.loads(each["TF_CONFIG"]) for each in environments(3)]
    assert [config["task"] for config in configs] == [{"type": "worker", "index": index} for index in range(3)]
    (addresses,) = {tuple(config["cluster"]["worker"]) for config in configs}
    assert len(set(addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_a_new_cluster_has_new_ports() -> None:
    ports = [free_ports(4) for _ in range(5)]
    assert all(len(set(group)) == 4 for group in ports)
    assert len({tuple(group) for group in ports}) > 1


@pytest.mark.parametrize(
    ("workers", "cores", "compute", "ops"), [(2, 8, "4", "4"), (2, 2, "1", "2"), (3, 2, "1", "2"), (1, 8, "8", "8")]
)
def test_workers_share_the_cores(workers: int, cores: int, compute: str, ops: str) -> None:
    for each in environments(workers, cores=cores):
        assert (each["TF_NUM_INTRAOP_THREADS"], each["TF_NUM_INTEROP_THREADS"]) == (compute, ops)


def test_threads_that_the_user_set_stay() -> None:
    (each,) = environments(1, environ={"TF_NUM_INTRAOP_THREADS": "7", "HOME": "/h"})
    assert (each["TF_NUM_INTRAOP_THREADS"], each["TF_NUM_INTEROP_THREADS"], each["HOME"]) == ("7", "8", "/h")


def test_an_old_cluster_is_forgotten() -> None:
    (each,) = environments(1, environ={"TF_CONFIG": "old", "CHARFLOW_JOIN_TIMEOUT": "1"})
    assert json.loads(each["TF_CONFIG"])["task"]["index"] == 0
    assert each["CHARFLOW_JOIN_TIMEOUT"] == "90"


def test_workers_share_the_gpus() -> None:
    shares = [each["CUDA_VISIBLE_DEVICES"] for each in environments(2, gpus=["0", "1", "2", "3", "4"])]
    assert shares == ["0,1", "2,3"]
    assert share_gpus(["0"], 1) == [["0"]]


def test_workers_that_cannot_share_the_gpus_see_none() -> None:
    assert [each["CUDA_VISIBLE_DEVICES"] for each in environments(2, gpus=["0"])] == ["-1", "-1"]


def test_without_gpus_nothing_is_said_about_them() -> None:
    assert "CUDA_VISIBLE_DEVICES" not in environments(1)[0]


@pytest.mark.parametrize(
    ("setting", "gpus"),
    [("0,1", ["0", "1"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"]), ("", []), ("-1", [])],
    ids=["numbers", "names", "empty", "off"],
)
def test_visible_gpus_are_those_of_the_environment(setting: str, gpus: list[str]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": setting}) == gpus


def test_visible_gpus_are_else_those_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: a)'\necho 'GPU 1: H200 (UUID: b)'\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus({}) == []
    driver.chmod(0o755)
    assert visible_gpus({}) == ["0", "1"]


def test_the_launcher_does_not_load_tensorflow() -> None:
    code = "import sys, charflow.cli.commands.launch; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
