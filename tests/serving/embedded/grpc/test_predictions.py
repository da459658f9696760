"""Which private names of gRPC the embedded server stands on, what is said where one is gone, and how threads end."""

import ast
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest

from charflow.serving.embedded.grpc import predictions
from charflow.serving.embedded.grpc.predictions import METHODS, PRIVATE, Predictions
from charflow.serving.errors import UsageError
from tests.support import ROOT

OWN = Path(predictions.__file__).resolve()
SERVICE = SimpleNamespace(**dict.fromkeys(METHODS))


def made(server: grpc.Server) -> Predictions:
    return Predictions(server, SERVICE, threads=3, at_most=10, on_refusal=lambda error: None)


@pytest.fixture
def server() -> Iterator[grpc.Server]:
    server = grpc.server(None)
    yield server
    server.stop(0).wait()


def private_names(file: Path) -> set[str]:
    """What a file reads of gRPC's inner modules and objects, by the names that `predictions` gives these."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    read = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    inner = {node.attr for node in read if ast.unparse(node.value) in ("cygrpc", "self._server")}
    return inner | {node.attr for node in read if node.attr.startswith("_cy")}


def test_private_names_of_grpc_are_those_of_the_table() -> None:
    assert private_names(OWN) == {name for names in PRIVATE.values() for name in names}


def test_private_names_of_grpc_stand_in_one_file() -> None:
    words = ("cygrpc", "_cython", "_cy_server")
    users = {file.name for file in (ROOT / "serving").rglob("*.py") if any(word in file.read_text() for word in words)}
    assert users == {OWN.name}


@pytest.mark.parametrize("owner", PRIVATE)
def test_what_a_grpcio_lacks_is_said_in_a_sentence(
    owner: str, server: grpc.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRIVATE, owner, (*PRIVATE[owner], "gone"))
    with pytest.raises(UsageError, match=rf"^grpcio \S+ has no {owner}\.gone, by which .* takes calls: install .*\.$"):
        made(server)


def test_grpcio_without_its_inner_module_is_said_in_a_sentence(
    server: grpc.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "cygrpc", None)
    with pytest.raises(UsageError, match=r"has no cygrpc\.CompletionQueue, by which"):
        made(server)


def test_threads_end_where_the_server_had_ended_before_they_began(server: grpc.Server) -> None:
    before = set(threading.enumerate())
    found = made(server)
    server.start()
    server.stop(0).wait()
    found.start()
    end = time.monotonic() + 10
    while set(threading.enumerate()) - before:
        assert time.monotonic() < end
        time.sleep(0.01)
