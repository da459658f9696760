"""What gpu.sh says where it cannot measure, and the tables that it prints of what it found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from charflow.benchmarks.comparison import LIMIT, OURS, Comparison, Way
from charflow.benchmarks.side_by_side import tables
from tests.support import ROOT

SCRIPT = ROOT / "benchmarks" / "gpu.sh"


def write(path: Path, **medians: float) -> None:
    ways = [Way(name=name.replace("_", " "), kind=OURS, figures=(median,)) for name, median in medians.items()]
    ways.append(Way(name="products", kind=LIMIT, figures=(1e6,)))
    found = Comparison(what="training", unit="windows/s", about="", ways=tuple(ways)).as_json()
    path.write_text(json.dumps({"benches": {"train": [found]}}), encoding="utf-8")


def test_ways_of_the_gpu_stand_beside_those_of_the_cpu(tmp_path: Path) -> None:
    write(tmp_path / "gpu-train.json", one_GPU=7000.0, two_processes=50.0)
    write(tmp_path / "cpu-train.json", one_CPU=1000.0)
    assert list(tables(tmp_path)) == [
        "| train: training, windows/s | GPU | CPU | ratio |\n| --- | ---: | ---: | ---: |",
        "| one GPU | 7,000 | 1,000 | 7x |",
        "| two processes | 50 | - | - |",
        "",
    ]


def test_what_the_cpu_did_not_finish_is_left_empty(tmp_path: Path) -> None:
    write(tmp_path / "gpu-train.json", one_GPU=7000.0)
    assert list(tables(tmp_path))[1] == "| one GPU | 7,000 | - | - |"


def test_a_report_that_is_no_benchmark_has_no_table(tmp_path: Path) -> None:
    (tmp_path / "gpu-run.json").write_text('{"steps": 3}', encoding="utf-8")
    assert list(tables(tmp_path)) == []


def test_the_script_says_how_it_is_called() -> None:
    done = subprocess.run(["sh", SCRIPT, "chat.csv"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "benchmarks/gpu.sh CHAT PERSON OUT" in done.stderr


@pytest.mark.slow
def test_the_script_says_that_there_is_no_gpu(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(["sh", SCRIPT, "chat.csv", "a", tmp_path], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"TensorFlow sees no GPU here: {tmp_path}/devices.log has what it says.\n"
