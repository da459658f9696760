"""How charflow-model-server starts, and how it says that it cannot."""

import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving.processes.server_process import ServerProcess, starting, until

Run = Callable[..., subprocess.CompletedProcess]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_server_waits_for_a_first_version(
    start_server: Callable[..., ServerProcess], models: Path, publish: Callable[..., Path], tmp_path: Path
) -> None:
    config = tmp_path / "models.config"
    config.write_text(
        "model_config_list {"
        f'config {{ name: "there" base_path: "{models}/half_plus_two" model_platform: "tensorflow" }}'
        f'config {{ name: "coming" base_path: "{tmp_path}/coming" model_platform: "tensorflow" }}'
        "}"
    )
    for name in ("+8", "9.0", "-1", "tmp", "99999999999999999999"):  # no versions
        shutil.copytree(models / "half_plus_two" / "00000123", tmp_path / "coming" / name)
    server = start_server(ready=False, model_config_file=config, model_config_file_poll_wait_seconds=1)
    until(lambda: re.search("there.*(is available|Successfully loaded)|Successfully.*there", server.log), "one loads")
    assert not is_open(server.port)
    assert not is_open(server.rest_api_port)
    publish(tmp_path / "coming", 7)
    server.wait_ready()
    assert server.states("coming") == {7: "AVAILABLE"}
    assert server.ask("coming", {"x": [1.0]}) == {"y": [2.5]}


def test_server_that_cannot_load_its_model_ends(
    start_server: Callable[..., ServerProcess], publish: Callable[..., Path], tmp_path: Path
) -> None:
    publish(tmp_path / "broken", 1, corrupt=True)
    server = start_server(
        ready=False,
        model_name="broken",
        model_base_path=tmp_path / "broken",
        max_num_load_retries=1,
        load_retry_interval_micros=1000,
    )
    assert server.wait_end() != 0
    assert "Failed to start server" in server.log
    assert "broken" in server.log
    assert "Traceback" not in server.log
    assert "Ending" not in server.log  # there were no calls to end


CONFIGS = {
    "no proto": ("model_config_list { what }", ["Error parsing text-format", "Invalid protobuf file"]),
    "no file": (None, ["--model_config_file", "cannot be read"]),
}


@pytest.fixture(scope="module")
def refused(
    models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, ServerProcess], socket.socket]]:
    """Servers that cannot start, side by side as each takes seconds to say so; and the port that two of them want."""
    folder = tmp_path_factory.mktemp("refused")
    half = {"model_name": "half", "model_base_path": models / "half_plus_two"}
    with starting(folder) as start, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        servers = {door: start(ready=False, **half, **{door: port}) for door in ("port", "rest_api_port")}
        for name, (text, _) in CONFIGS.items():
            file = folder / f"{name}.config"
            if text is not None:
                file.write_text(text)
            servers[name] = start(ready=False, model_config_file=file)
        for server in servers.values():
            server.wait_end()
        yield servers, taken


@pytest.mark.parametrize("name", CONFIGS)
def test_server_refuses_a_configuration(refused: tuple[dict[str, ServerProcess], socket.socket], name: str) -> None:
    server = refused[0][name]
    phrases = ["Failed to start server", *CONFIGS[name][1]]
    assert server.wait_end() == 1
    assert [phrase for phrase in phrases if phrase not in server.log] == []
    assert "Traceback" not in server.log


@pytest.mark.parametrize("door", ["port", "rest_api_port"])
def test_server_refuses_a_port_in_use(refused: tuple[dict[str, ServerProcess], socket.socket], door: str) -> None:
    servers, taken = refused
    assert servers[door].wait_end() == 1
    port = taken.getsockname()[1]
    message = f"Failed to start server. Error: Port {port} is in use: give --{door} another number.\n"
    assert servers[door].log.endswith(message)
    assert "Traceback" not in servers[door].log


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--modle_name=a"], "There is no flag --modle_name: the nearest is --model_name."),
        ([], "There is nothing to serve: give --model_base_path or --model_config_file."),
        (
            ["--model_base_path=models/a"],
            "--model_base_path must be an absolute path, not 'models/a': give $PWD/models/a.",
        ),
        (["--port=1", "--rest_api_port=1"], "--port and --rest_api_port are both 1: give one of them another number."),
        (
            ["--model_base_path=/m", "--num_load_threads=2"],
            "--num_load_threads is not honoured by the embedded server: leave it out, or run tensorflow_model_server.",
        ),
        (
            ["--model_base_path=/m", "--batching_parameters_file=/b"],
            "--batching_parameters_file needs --enable_batching.",
        ),
    ],
    ids=["unknown flag", "nothing to serve", "relative path", "one port twice", "not honoured", "needs another"],
)
def test_server_refuses_flags_by_name(run_command: Run, arguments: list[str], message: str) -> None:
    done = run_command("charflow-model-server", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"charflow-model-server: {message}\n")
