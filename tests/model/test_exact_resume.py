"""A run that is killed at any moment and resumed ends with the weights of one that never was.

Every run is a process of its own: SIGKILL cannot be caught, nor survived.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.run.run_dir import RunDir
from tests import forked
from tests.support import THOROUGH

STEPS = 200
KILLS = 5 if THOROUGH else 3


def command(chat: str, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "charflow", "train", chat, "--out", str(out), "--user", "mira", "--units", "16",
        "--window-length", "20", "--batch-size", "8", "--steps", str(STEPS), "--evaluations", "4", "--no-cache",
        "--strategy", "one-device", "--deterministic", "--checkpoint-every", "5", "--json", *more,
    ]  # fmt: skip


def start(chat: str, out: Path, *more: str) -> subprocess.Popen[str]:
    return forked.Popen(
        command(chat, out, *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    return errors


def variables(out: Path, kind: str = "latest") -> dict[str, np.ndarray]:
    """Every variable of a checkpoint but the time that the run took."""
    reader = tf.train.load_checkpoint(str(RunDir(out).checkpoints / kind))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "elapsed" not in name and "save_counter" not in name and "CHECKPOINTABLE" not in name
    }


def assert_same_bits(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    assert first.keys() == second.keys()
    assert len(first) > 10
    for name, value in first.items():
        assert np.asarray(value).tobytes() == np.asarray(second[name]).tobytes(), name


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory, sample_chat: str) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    finish(start(sample_chat, out))
    return out


def test_a_run_killed_again_and_again_ends_with_the_same_bits(
    never_killed: Path, sample_chat: str, tmp_path: Path
) -> None:
    out, chance = tmp_path / "run", random.Random(7)
    losses = RunDir(out).losses_file
    for kill in range(KILLS):
        more = ["--resume"] if RunDir(out).config_file.exists() else []
        process = start(sample_chat, out, *more)
        part = STEPS // (KILLS + 1)
        wanted = 4 * (part * kill + chance.randrange(3, part))  # bytes of losses: somewhere in this part
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            if losses.exists() and losses.stat().st_size >= wanted:
                break
            time.sleep(0.001)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    finish(start(sample_chat, out, "--resume"))
    assert_same_bits(variables(out), variables(never_killed))
    assert_same_bits(variables(out, "best"), variables(never_killed, "best"))
    np.testing.assert_array_equal(RunDir(out).read_losses(), RunDir(never_killed).read_losses())
    rows = [{**row, "elapsed": 0, "windows_per_second": 0} for row in RunDir(out).read_metrics()]
    assert [row["step"] for row in rows] == [50, 100, 150, 200]


def test_sigterm_saves_and_says_so(never_killed: Path, sample_chat: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(sample_chat, out)
    until = time.monotonic() + 120
    while not RunDir(out).losses_file.exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert process.returncode == 128 + signal.SIGTERM
    assert "preempted after step" in errors and "--resume goes on from there." in errors
    finish(start(sample_chat, out, "--resume"))
    assert_same_bits(variables(out), variables(never_killed))


STRUCK = """
import os, sys
from pathlib import Path
from charflow.cli import main
from charflow.model.run.snapshot import Snapshot
write = Snapshot.write
def struck(snapshot, prefix):
    if prefix.endswith("latest/ckpt-{step}"):
        begun = Path(prefix + "_temp")
        begun.mkdir()
        (begun / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half of it")
        os.kill(os.getpid(), {signal:d})
    write(snapshot, prefix)
Snapshot.write = struck
main()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_struck_while_a_checkpoint_is_written_goes_on_with_the_same_bits(
    number: signal.Signals, never_killed: Path, sample_chat: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    program = STRUCK.format(step=100, signal=number)  # at an evaluation: the best one has just been written
    process = forked.Popen(
        [sys.executable, "-c", program, *command(sample_chat, out)[3:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    _, errors = process.communicate(timeout=200)
    latest = sorted(int(file.stem[5:]) for file in (RunDir(out).checkpoints / "latest").glob("*.index"))
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        assert latest == [90, 95]
    else:
        assert process.returncode == 128 + signal.SIGTERM, errors
        assert f"preempted after step {latest[-1]}; saved in {out}" in errors
    finish(start(sample_chat, out, "--resume"))
    assert_same_bits(variables(out), variables(never_killed))
    assert_same_bits(variables(out, "best"), variables(never_killed, "best"))
    assert not list(RunDir(out).checkpoints.rglob("*_temp"))


def test_a_checkpoint_cut_in_half_is_skipped_for_the_one_before(
    never_killed: Path, sample_chat: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = start(sample_chat, out)
    index = RunDir(out).checkpoints / "latest" / "checkpoint"
    until = time.monotonic() + 120
    while time.monotonic() < until and not (index.exists() and index.read_text().count("all_model") >= 2):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    newest = Path(tf.train.latest_checkpoint(str(index.parent)))
    data = newest.with_name(newest.name + ".data-00000-of-00001")
    os.truncate(data, data.stat().st_size // 2)
    errors = finish(start(sample_chat, out, "--resume"))
    assert f"warning: the checkpoint {newest.name} is damaged; the one before it is taken." in errors
    assert_same_bits(variables(out), variables(never_killed))


def test_a_run_folder_in_use_is_refused(sample_chat: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = start(sample_chat, out, "--steps", "100000")
    until = time.monotonic() + 120
    while not RunDir(out).losses_file.exists() and time.monotonic() < until:
        time.sleep(0.01)
    second = start(sample_chat, out, "--resume")
    _, errors = second.communicate(timeout=60)
    first.terminate()
    first.communicate(timeout=60)
    assert second.returncode == 2
    assert f"{out} is in use by process {first.pid}: wait, or name another folder." in errors
