from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from charflow.serving.embedded.core.deadline import Deadline
from tests.serving.embedded.core.running_core import Server, config


@pytest.fixture
def make() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(**options: Any) -> Server:
        made.append(Server(**options))
        return made[-1]

    yield make
    for server in made:
        server.models.close()


@pytest.fixture
def server(make: Callable[..., Server], half_base: str) -> Server:
    """Serves `half`."""
    server = make()
    server.core.configuration.reload(config(half=half_base), deadline=Deadline.after(20))
    return server


@pytest.fixture
def base(half: str, tmp_path: Path) -> Path:
    """A base path with versions 1 and 2."""
    for version in "12":
        copytree(half, tmp_path / "m" / version)
    return tmp_path / "m"
