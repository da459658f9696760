"""Clusters that lose a worker, or never get one. Real processes: `charflow launch` and its workers."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from charflow.cli.exit_status import PEER_LOST
from charflow.model.distributed.cluster import JOIN_TIMEOUT, free_ports
from charflow.model.distributed.rendezvous import meet
from charflow.model.run.run_dir import RunDir
from tests import forked
from tests.model.two_workers import STEPS, launch, options


def worker_pid(launcher: int, index: int) -> int:
    """Finds a worker among the children of `charflow launch`, which starts them in order."""
    children = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == launcher:
                children.append(int(entry.name))
    return sorted(children)[index]


def weights(out: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(RunDir(out).checkpoints / "latest"))
    types = reader.get_variable_to_dtype_map()
    return {name: reader.get_tensor(name) for name, dtype in types.items() if dtype == tf.float32}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc to find the worker to kill")
def test_a_killed_worker_is_started_again_with_its_group(launched: Path, sample_chat: str, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    with launch(sample_chat, killed) as process:
        losses, until = RunDir(killed).losses_file, time.monotonic() + 120
        while time.monotonic() < until and not (losses.exists() and losses.stat().st_size > 4 * STEPS // 3):
            time.sleep(0.005)
        os.kill(worker_pid(process.pid, 1), signal.SIGKILL)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert "start" in errors and "again" in errors
    assert json.loads(output)["steps"] == STEPS
    first, second = weights(killed), weights(launched)
    assert first.keys() == second.keys() and len(first) >= 5
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], atol=1e-5, err_msg=name)
    np.testing.assert_allclose(RunDir(killed).read_losses(), RunDir(launched).read_losses(), atol=1e-4)


@pytest.mark.parametrize("index", [0, 1], ids=["chief", "worker"])
def test_a_worker_that_never_comes_ends_the_wait(sample_chat: str, tmp_path: Path, index: int) -> None:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    began = time.monotonic()
    done = forked.run(
        [sys.executable, "-m", "charflow", *options(sample_chat, tmp_path / "run")],
        timeout=120,
        env={**os.environ, "TF_CONFIG": json.dumps(cluster), JOIN_TIMEOUT: "6"},
    )
    assert done.returncode == PEER_LOST
    missing = f"worker {1 - index} ({addresses[1 - index]})"
    assert done.stderr.splitlines()[-1] == (
        f"charflow: worker {index} of 2 waited 6 s for {missing}: start all workers, or give them more time with "
        f"{JOIN_TIMEOUT}."
    )
    assert time.monotonic() - began < 60
    assert not (tmp_path / "run").exists()


def test_a_chief_whose_worker_dies_before_it_registers_still_hears_ctrl_c(sample_chat: str, tmp_path: Path) -> None:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    with forked.Popen(
        [sys.executable, "-m", "charflow", *options(sample_chat, tmp_path / "run")],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TF_CONFIG": json.dumps(cluster), JOIN_TIMEOUT: "100"},
    ) as chief:
        meet(addresses, 1, seconds=100)  # and this worker is gone
        time.sleep(3)  # TensorFlow waits for it now
        assert chief.poll() is None
        chief.send_signal(signal.SIGINT)
        try:
            assert chief.wait(30) == -signal.SIGINT
        finally:
            chief.kill()
