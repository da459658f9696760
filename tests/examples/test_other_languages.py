"""The programs of examples/ in other languages write the text that Python writes for the same seed."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from charflow.model import Generator
from tests import forked
from tests.serving.processes.server_process import ServerProcess, starting
from tests.support import ROOT

EXAMPLES = ROOT / "examples"
PROMPT = "oh my dears, ünd "  # of which one character is not in the vocabulary
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="install Node 18 or later")
needs_packages = pytest.mark.skipif(
    not (EXAMPLES / "node" / "node_modules").exists(), reason="run npm install in examples/node"
)


@pytest.fixture(scope="module")
def text(trained_run: Path) -> str:
    return Generator.load(trained_run).generate(PROMPT, max_chars=60, seed=-5)[0].text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, plain: Path) -> Iterator[ServerProcess]:
    with starting(tmp_path_factory.mktemp("server")) as start:
        yield start(model_base_path=plain.parent, model_name="chat")


def printed(*command: object) -> str:
    done = forked.run([str(word) for word in command], timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("gcc"), reason="install gcc and make")
def test_c_writes_the_same_text(plain: Path, text: str, tmp_path: Path) -> None:
    program = tmp_path / "generate"
    built = printed("make", "-s", "-C", EXAMPLES / "c", f"PYTHON={sys.executable}", f"OUT={program}")
    assert built == ""
    assert printed(program, plain, PROMPT, -5) == f"{text}\n"
    failed = forked.run([str(program), str(tmp_path), PROMPT, "7"])
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.splitlines()[-1].startswith(f"generate: {tmp_path}: Could not find SavedModel")


@needs_node
@needs_packages
def test_node_writes_the_same_text_over_grpc_by_the_public_protos(
    server: ServerProcess, text: str, tmp_path: Path
) -> None:
    protos = tmp_path / "serving.desc"
    printed(sys.executable, EXAMPLES / "node" / "protos.py", protos)
    program = EXAMPLES / "node" / "grpc.mjs"
    assert printed("node", program, protos, server.grpc, "chat", PROMPT, -5) == f"{text}\n"


@needs_node
def test_node_writes_the_same_text_over_rest_with_every_input_of_the_metadata(server: ServerProcess, text: str) -> None:
    program = EXAMPLES / "node" / "rest.mjs"
    assert printed("node", program, f"http://{server.rest}", "chat", PROMPT, -5) == f"{text}\n"
