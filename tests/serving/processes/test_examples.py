"""The program of docs/examples against a server: what a reader copies works."""

import sys

import pytest

from charflow.serving import Client
from tests import forked
from tests.serving.processes.server_process import ServerProcess
from tests.support import ROOT

EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(scope="module")
def text(server: ServerProcess) -> str:
    with Client(server.grpc, model="chat") as client:
        return client.generate("how do i ", max_chars=60, seed=7).text


def printed(*command: object) -> str:
    done = forked.run([str(word) for word in command], timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_example_with_stubs_writes_the_text_twice(server: ServerProcess, text: str) -> None:
    chunks = "".join(f"{text[begin : begin + 20]}|" for begin in (0, 20, 40))
    assert printed(sys.executable, EXAMPLES / "call_stubs.py", server.grpc, "chat") == f"{text}\n{chunks}\n"
