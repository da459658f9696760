"""The program of examples/ that tracks a run, with a stand-in for MLflow, which would bring forty packages along."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from charflow.model import RunDir, load_keras


class Mlflow(ModuleType):
    """Keeps what it is told, and takes it inside of a run only."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.run = ""
        self.params: dict[str, Any] = {}
        self.metrics: dict[str, list[tuple[int, float]]] = {}
        self.artifacts: list[str] = []

    @contextmanager
    def start_run(self, *, run_name: str) -> Iterator[SimpleNamespace]:
        self.run = run_name
        yield SimpleNamespace()
        self.run = ""

    def log_params(self, params: dict[str, Any]) -> None:
        assert self.run
        self.params |= params

    def log_metrics(self, metrics: dict[str, float], step: int = 0) -> None:
        assert self.run
        for name, value in metrics.items():
            self.metrics.setdefault(name, []).append((step, value))

    def log_metric(self, key: str, value: float) -> None:
        self.log_metrics({key: value})

    def log_artifact(self, local_path: str) -> None:
        self.artifacts.append(local_path)


@pytest.mark.slow
def test_a_run_is_tracked_as_it_trains(sample_chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", mlflow := Mlflow())
    monkeypatch.delitem(sys.modules, "examples.with_mlflow", raising=False)
    example = importlib.import_module("examples.with_mlflow")
    small = {"units": 8, "window_length": 8, "batch_size": 8, "evaluations": 2, "steps": 6}
    example.track(sample_chat, str(tmp_path / "a"), users="mira", cached=False, **small)
    run = RunDir(tmp_path / "a")
    assert (mlflow.params["batch_size"], mlflow.params["weights"]) == (8, load_keras(run).count_params())
    rows = [(row["step"], row["held_out_part_bits"]) for row in run.read_metrics()]
    assert mlflow.metrics["held-out bits"] == rows
    assert mlflow.metrics["training bits"][-1][0] == 6
    assert mlflow.metrics["bits per character"] == [(0, run.read_result()["held_out"]["bits_per_char"])]
    assert mlflow.artifacts == [str(run.curves_file)]
