"""One tiny run and two exports of it, which all tests of this package share and none changes.

`plain` is exported as `charflow export` does it by default; `windowed` differs in everything that can differ.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from charflow.cli.app import run as charflow
from charflow.export.publish import export_run
from charflow.export.session import FunctionRunner, SessionRunner
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.settings import SamplingSettings
from charflow.model.decoding.text_model import Limits

WINDOWED_SETTINGS = SamplingSettings(max_chars=12, temperature=0.9, top_k=5, top_p=0.8, seed=-3, stop="e")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, sample_chat: str) -> Path:
    """A run of 30 steps on mira's messages; it knows letters from emoji, no more."""
    folder = tmp_path_factory.mktemp("runs") / "mira"
    options = ["--user", "mira", "--units", "24", "--steps", "30", "--window-length", "20", "--json"]
    assert charflow(["train", sample_chat, "--out", str(folder), *options]) == 0
    return folder


@pytest.fixture(scope="session")
def generator(run_folder: Path) -> Generator:
    return Generator.load(run_folder)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, run_folder: Path) -> Path:
    return export_run(run_folder, tmp_path_factory.mktemp("models") / "plain")


@pytest.fixture(scope="session")
def windowed_settings() -> SamplingSettings:
    return WINDOWED_SETTINGS


@pytest.fixture(scope="session")
def windowed(tmp_path_factory: pytest.TempPathFactory, run_folder: Path) -> Path:
    """Version 7, the last window only, other settings, short limits."""
    return export_run(
        run_folder,
        tmp_path_factory.mktemp("models") / "windowed",
        version=7,
        settings=WINDOWED_SETTINGS,
        context="window",
        limits=Limits(prompt_chars=30, completion_chars=25),
    )


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
