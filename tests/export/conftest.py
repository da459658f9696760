"""Two exports of one tiny run, which all tests of this package share and none changes.

`plain` is exported as `charflow export` does it by default; `windowed` differs in everything that can differ.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from charflow.export.publish import export_run
from charflow.export.session import FunctionRunner, SessionRunner
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.settings import Limits, SamplingSettings
from charflow.model.training.train import train
from tests.support import made_once

WINDOWED_SETTINGS = SamplingSettings(max_chars=12, temperature=0.9, top_k=5, top_p=0.8, seed=-3, stop="e")


@pytest.fixture(scope="session")
def generator(trained_run: Path) -> Generator:
    return Generator.load(trained_run)


@pytest.fixture(scope="session")
def remembering(tmp_path_factory: pytest.TempPathFactory, sample_chat: str) -> Path:
    """A run of two GRU layers with a memory of counts."""
    small = {"cell": "gru", "layers": 2, "units": 32, "window_length": 8, "batch_size": 8, "evaluations": 1}

    def make(folder: Path) -> None:
        train(sample_chat, folder / "a", users="mira", steps=6, memory="person", cached=False, **small)

    return made_once(tmp_path_factory, "remembering", make) / "a"


@pytest.fixture(scope="session")
def windowed_settings() -> SamplingSettings:
    return WINDOWED_SETTINGS


@pytest.fixture(scope="session")
def windowed(tmp_path_factory: pytest.TempPathFactory, trained_run: Path) -> Path:
    """Version 7, the last window only, other settings, short limits."""

    def export(base: Path) -> None:
        limits = Limits(prompt_chars=30, completion_chars=25)
        export_run(trained_run, base, version=7, settings=WINDOWED_SETTINGS, context="window", limits=limits)

    return made_once(tmp_path_factory, "windowed", export) / "7"


@pytest.fixture(scope="session")
def session(plain: Path) -> SessionRunner:
    return SessionRunner(plain)


@pytest.fixture(scope="session")
def functions(plain: Path) -> FunctionRunner:
    return FunctionRunner(plain)


@pytest.fixture(scope="session")
def windowed_session(windowed: Path) -> SessionRunner:
    return SessionRunner(windowed)


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a version's folder, for tests that break it."""

    def copy(version_folder: Path) -> Path:
        return shutil.copytree(version_folder, tmp_path / "model" / version_folder.name)

    return copy
