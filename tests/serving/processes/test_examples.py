"""The programs of docs/examples against a server: what a reader copies works, and every one writes the same text."""

import shutil
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


@pytest.mark.skipif(not shutil.which("node"), reason="install Node 18 or later to run the example of REST")
def test_example_in_node_finds_every_input_in_the_metadata(server: ServerProcess, text: str) -> None:
    assert printed("node", EXAMPLES / "call_rest.mjs", f"http://{server.rest}", "chat") == f"{text}\n"
