"""What `charflow bench serve` measures: a server is called in every way, and what is wrong with it is said."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from charflow.benchmarks import model_server, serving
from charflow.benchmarks.machine import peak_bytes, processor_seconds
from charflow.benchmarks.model_server import running
from charflow.pipeline.errors import UserError
from charflow.serving.layout import WARM_UP
from tests import forked


@pytest.fixture
def base(plain: Path, tmp_path: Path) -> Path:
    """A model without a warm-up, which would ask signatures that are not measured."""
    copy = shutil.copytree(plain.parent, tmp_path / "model")
    (copy / "1" / WARM_UP).unlink()
    return copy


@pytest.mark.slow
def test_every_comparison_is_there(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_server, "subprocess", SimpleNamespace(Popen=forked.Popen, STDOUT=subprocess.STDOUT))
    for name, value in {"_SECONDS": 0.2, "_CALLS": 1, "CALLERS": 3, "CHARS": 5}.items():
        monkeypatch.setattr(serving, name, value)
    monkeypatch.setenv("TENSORFLOW_MODEL_SERVER", "nowhere")
    found = {each.what: each for each in serving.measure_serving(base, turns=1)}
    assert set(found) == {
        *("generate, one caller", "next_char, one caller", "generate, 3 callers"),
        *("generate, 3 callers: processor time", "starting a server", "memory of a server"),
    }
    for each in found.values():
        assert all(min(way.figures) > 0 for way in each.ways), each
    assert {way.name for way in found["generate, one caller"].ways} == {
        *("charflow, gRPC", "charflow, REST", "charflow, gRPC, batching on"),
        *("tf.saved_model.load, in process", "the server's session, in process"),
    }


@pytest.mark.slow
def test_the_model_in_process_answers_what_clients_ask(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "CHARS", 7)
    model = serving.InProcess(plain)
    _, outputs = model.by_session("generate", rows=3)()
    assert [len(text.decode()) for text in outputs["text"]] == [7, 7, 7]
    assert len(model.by_function("generate")()) == len(outputs)


def test_a_folder_without_versions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no version of a model there: name the folder that charflow export wrote to"):
        next(serving.measure_serving(tmp_path, turns=1))


def test_a_server_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "raise SystemExit('no room')"]
    with pytest.raises(UserError, match=r"^The server did not start: no room$"), running(program, tmp_path):
        pass


def test_memory_of_a_process_that_has_ended_is_unknown() -> None:
    assert peak_bytes(os.getpid()) > 1e7
    assert peak_bytes(2**22 + 1) == 0  # beyond the largest process id


def test_processor_time_of_a_process_counts_what_it_computes() -> None:
    began, spent = processor_seconds(os.getpid()), time.process_time()
    while time.process_time() < spent + 0.1:
        pass
    assert processor_seconds(os.getpid()) - began > 0.05
    assert processor_seconds(2**22 + 1) == 0
