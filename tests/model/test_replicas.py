"""The losses of a run must not depend on how many replicas share its batches.

Each run is a process of its own, because logical devices and clusters are set before TensorFlow starts.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from charflow.model.run.run_dir import RunDir
from tests import forked
from tests.model.two_workers import STEPS, options

_RUN = """
import sys
import tensorflow as tf
cpus = int(sys.argv[1])
if cpus > 1:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpus)
from charflow.cli import main
main(sys.argv[2:])
"""


def train(chat: str, out: Path, *more: str, cpus: int = 1, **environment: str) -> subprocess.Popen[str]:
    return forked.Popen(
        [sys.executable, "-c", _RUN, str(cpus), *options(chat, out), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )


def losses(out: Path, *processes: subprocess.Popen[str]) -> np.ndarray:
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    return RunDir(out).read_losses()


def on_one_and_two(chat: str, folder: Path, *more: str) -> tuple[np.ndarray, np.ndarray]:
    """The losses of the same training on one device and on two replicas, which run at the same time."""
    alone, both = folder / "alone", folder / "both"
    processes = [
        train(chat, alone, "--strategy", "one-device", *more),
        train(chat, both, "--strategy", "mirrored", *more, cpus=2),
    ]
    return losses(alone, processes[0]), losses(both, processes[1])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, sample_chat: str) -> np.ndarray:
    out = tmp_path_factory.mktemp("alone") / "run"
    found = losses(out, train(sample_chat, out, "--strategy", "one-device"))
    assert len(found) == STEPS
    assert found[-1] < found[0] - 0.5  # it learns, so that equal losses say something
    return found


@pytest.mark.parametrize("cpus", [2, 4])
def test_mirrored_training_has_the_losses_of_one_device(
    cpus: int, alone: np.ndarray, sample_chat: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    found = losses(out, train(sample_chat, out, "--strategy", "mirrored", cpus=cpus))
    np.testing.assert_allclose(found, alone, atol=1e-4)
    placement = json.loads(RunDir(out).placement_file.read_text())
    assert (placement["strategy"], placement["replicas"]) == ("MirroredStrategy", cpus)


def test_mirrored_training_on_replies_has_the_losses_of_one_device(sample_chat: str, tmp_path: Path) -> None:
    """Replicas have unequal numbers of targets to learn: each counts alike, whose part of the batch it is in."""
    expected, found = on_one_and_two(sample_chat, tmp_path, "--reply", "--steps", "30", "--targets", "next")
    assert len(expected) == 30
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_mirrored_training_starts_from_a_run_as_one_device_does(
    launched: Path, sample_chat: str, tmp_path: Path
) -> None:
    more = ["--from", str(launched), "--user", "olena", "--steps", "20"]
    expected, found = on_one_and_two(sample_chat, tmp_path, *more)
    assert len(expected) == 20
    assert expected[0] < RunDir(launched).read_losses()[0] - 0.5  # it knows what the base knows
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_two_launched_workers_have_the_losses_of_one_device(alone: np.ndarray, launched: Path) -> None:
    np.testing.assert_allclose(RunDir(launched).read_losses(), alone, atol=1e-4)
    placement = json.loads(RunDir(launched).placement_file.read_text())
    assert (placement["workers"], placement["replicas"]) == (2, 2)


def test_a_batch_that_replicas_cannot_share_is_refused(sample_chat: str, tmp_path: Path) -> None:
    process = train(sample_chat, tmp_path / "run", "--strategy", "mirrored", "--batch-size", "9", cpus=2)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "charflow: 2 replicas cannot share a batch of 9: set --batch-size to 8." in errors
