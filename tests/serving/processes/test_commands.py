"""`charflow serve --backend embedded` and `charflow complete` against it, as a user types them."""

import json
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from charflow.cli.app import run
from charflow.serving import Client
from tests.serving.processes.server_process import ServerProcess, free_ports, until
from tests.serving.processes.slow_calls import Call, wait_busy

SETTINGS = ["--seed", "7", "--length", "30", "--temperature", "0.8"]


@pytest.fixture(scope="module")
def serving(models: Path) -> Iterator[ServerProcess]:
    """`charflow serve` of `chat` and `slow`."""
    port, rest_api_port = free_ports(2)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "models.config"
        config.write_text(
            "model_config_list {"
            + "".join(
                f'config {{ name: "{name}" base_path: "{models}/{name}" model_platform: "tensorflow" }}'
                for name in ("chat", "slow")
            )
            + "}"
        )
        command = [str(Path(sys.executable).with_name("charflow")), "serve", "--backend", "embedded"]
        server = ServerProcess(
            [*command, f"--port={port}", f"--rest_api_port={rest_api_port}", f"--model_config_file={config}"],
            Path(folder) / "log",
            port=port,
            rest_api_port=rest_api_port,
            real=True,
        )
        yield server.wait_ready()
        server.stop()


@pytest.fixture(params=["grpc", "rest"])
def to_server(request: pytest.FixtureRequest, serving: ServerProcess) -> list[str]:
    """Options that name the server."""
    address = serving.grpc if request.param == "grpc" else serving.rest
    return ["--server", address, "--model", "chat", *(["--rest"] if request.param == "rest" else [])]


def test_serve_prints_what_it_serves_and_where(serving: ServerProcess) -> None:
    until(lambda: "Try:" in serving.log, "the lines are printed")
    assert "Back end: embedded (--backend asks for it).\n" in serving.log
    assert (
        f"Serving chat, slow.\ngRPC: {serving.grpc}\nREST: http://{serving.rest}\n"
        f"Page: http://{serving.rest}/\n"
        f"""Try:  curl -d '{{"instances": ["how do i "]}}' http://{serving.rest}/v1/models/chat:predict\n"""
    ) in serving.log
    path, body = re.search(r"-d '(.*)' http://[^/]*(\S*)", serving.log).group(2, 1)
    assert serving.http.post(path, content=body).json()["predictions"]
    assert serving.http.get("/").headers["Content-Type"].startswith("text/html")
    assert serving.http.get("/models.json").json() == ["chat", "slow"]


@pytest.mark.parametrize("way", [[], ["--stream"], ["--json"]], ids=["at once", "stream", "json"])
def test_complete_prints_what_the_server_writes(
    serving: ServerProcess, to_server: list[str], way: list[str], capsys: pytest.CaptureFixture
) -> None:
    with Client(serving.grpc, model="chat") as client:
        expected = client.generate("how do i ", seed=7, max_chars=30, temperature=0.8)
    capsys.readouterr()
    assert run(["complete", "how do i ", *SETTINGS, *to_server, *way]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    if way == ["--json"]:
        (found,) = json.loads(out)["completions"]
        assert (found["text"], found["finish_reason"]) == (expected.text, "length")
    else:
        assert out == f"how do i {expected.text}\n"


def test_complete_is_a_command_of_its_own(serving: ServerProcess, run_command: Callable) -> None:
    done = run_command("charflow", "complete", "how do i ", "--rest", "--server", serving.rest, "--model", "chat")
    with Client(serving.rest, "rest", model="chat") as client:
        assert (done.returncode, done.stdout, done.stderr) == (
            0,
            f"how do i {client.generate('how do i ').text}\n",
            "",
        )


@pytest.mark.parametrize("rest", [[], ["--rest"]], ids=["grpc", "rest"])
def test_complete_says_how_to_start_a_server(rest: list[str], capsys: pytest.CaptureFixture) -> None:
    (port,) = free_ports(1)
    assert run(["complete", "a", "--server", f"127.0.0.1:{port}", *rest]) == 2
    assert capsys.readouterr().err == (
        f"charflow: 127.0.0.1:{port}: no server answers there (connection refused). Start one: charflow serve.\n"
    )


def test_serve_ends_after_ctrl_c_when_its_calls_are_done(serving: ServerProcess) -> None:
    call = Call(lambda: serving.ask("slow", {"seconds": [2.0]}))
    wait_busy(serving)
    serving.process.send_signal(signal.SIGINT)
    assert call.result() == {"seconds": [2.0]}
    assert serving.wait_end() == 0
    assert "Traceback" not in serving.log
