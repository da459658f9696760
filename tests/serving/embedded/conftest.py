"""Tiny SavedModels, written once for all tests."""

from pathlib import Path

import pytest

from tests.serving.embedded.saved_models import Line, Shout, save_half, save_loop, save_module


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def half(models: Path) -> str:
    """TF1 with ref variables, at half/1."""
    return save_half(models / "half" / "1")


@pytest.fixture(scope="session")
def half_base(half: str) -> str:
    """The base path of `half`: its one version is 1."""
    return str(Path(half).parent)


@pytest.fixture(scope="session")
def half_resource(models: Path) -> str:
    """TF1 with resource variables."""
    return save_half(models / "half_resource" / "1", resource=True)


@pytest.fixture(scope="session")
def loop(models: Path) -> str:
    return save_loop(models / "loop" / "1")


@pytest.fixture(scope="session")
def module(models: Path) -> str:
    line = Line()
    return save_module(models / "line" / "1", line, line.line)


@pytest.fixture(scope="session")
def shout(models: Path) -> str:
    shout = Shout()
    return save_module(models / "shout" / "1", shout, shout.shout)
