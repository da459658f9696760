"""Choosing a back end, and a child that serves.

Scripts stand in for tensorflow_model_server and docker. They record how they were called, and answer as a server does:
first LOADING, then AVAILABLE.
"""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charflow.serving.errors import UsageError
from charflow.serving.launch.backends import choose_backend, start, tensorflow_serving_command
from charflow.serving.launch.docker import docker_command
from charflow.serving.settings.flag_parser import parse_flags

FAKE = """#!{python}
import http.server, json, os, re, signal, socket, sys, threading, time

def end_by_signal(number, _):
    print("ended by", signal.Signals(number).name, flush=True)
    sys.exit(5)

def port(flag, published):
    if sys.argv[0].endswith("docker"):
        found = re.search(rf"127.0.0.1:(\\d+):{{published}}", " ".join(sys.argv))
    else:
        found = re.search(rf"--{{flag}}=(\\d+)", " ".join(sys.argv))
    return int(found[1]) if found else 0

class Status(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Status.asked += 1
        self.send_response(200)
        self.end_headers()
        state = "AVAILABLE" if Status.asked > 2 else "LOADING"
        self.wfile.write(json.dumps({{"model_version_status": [{{"state": state}}]}}).encode())
    def log_message(self, *_):
        pass

def answer_grpc(listener):
    connection = listener.accept()[0]
    connection.recv(100)
    connection.sendall(b"h2")

if sys.argv[1:2] == ["version"]:
    time.sleep(float(os.environ.get("ENGINE_SLEEPS", "0")))
    sys.exit(int(os.environ.get("ENGINE_STATUS", "0")))
with open(sys.argv[0] + ".json", "w") as file:
    json.dump(sys.argv[1:], file)
if "--version=true" in sys.argv:
    print("TensorFlow ModelServer: 9")
    sys.exit(0)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, end_by_signal)
print("a line of the log", file=sys.stderr, flush=True)
if "FAILS" in os.environ:
    sys.exit(int(os.environ["FAILS"]))
if rest := port("rest_api_port", 8501):
    server = http.server.HTTPServer(("127.0.0.1", rest), Status)
    threading.Thread(target=server.serve_forever, daemon=True).start()
else:
    listener = socket.create_server(("127.0.0.1", port("port", 8500)))
    threading.Thread(target=answer_grpc, args=[listener], daemon=True).start()
time.sleep(float(os.environ.get("SERVES", "60")))
sys.exit(7)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes the PATH hold these stand-ins alone."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(*names: str) -> Path:
        for name in names:
            (folder / name).write_text(FAKE.format(python=sys.executable))
            (folder / name).chmod(0o755)
        return folder

    return install


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "a"
    folder.mkdir(parents=True)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def parse(*arguments: object) -> dict:
    return parse_flags([str(argument) for argument in arguments], prog="charflow serve", rest_api_port=8501)


def message_of(call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(UsageError) as refusal:
        call(*arguments)
    message = str(refusal.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# --- the choice


def test_auto_takes_tensorflow_model_server_first(install: Callable) -> None:
    folder = install("tensorflow_model_server", "docker")
    assert choose_backend("auto") == (
        "tensorflow-serving",
        f"tensorflow_model_server is {folder}/tensorflow_model_server",
    )


def test_auto_takes_docker_next(install: Callable) -> None:
    install("docker")
    assert choose_backend("auto") == ("docker", "no tensorflow_model_server is on the PATH, but Docker runs")


def test_auto_takes_the_embedded_server_without_docker(install: Callable) -> None:
    install()
    assert choose_backend("auto") == (
        "embedded",
        "no tensorflow_model_server is on the PATH, and no docker is there",
    )


def test_auto_takes_the_embedded_server_when_the_engine_of_docker_is_down(
    install: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("docker")
    monkeypatch.setenv("ENGINE_STATUS", "1")
    assert choose_backend("auto") == (
        "embedded",
        "no tensorflow_model_server is on the PATH, and the engine of Docker does not run",
    )


def test_auto_does_not_wait_for_an_engine_that_hangs(install: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    install("docker")
    monkeypatch.setenv("ENGINE_SLEEPS", "30")
    monkeypatch.setattr("charflow.serving.launch.backends._ENGINE_PATIENCE", 0.2)
    assert choose_backend("auto")[1].endswith("the engine of Docker does not answer")


@pytest.mark.parametrize("name", ["docker", "embedded"])
def test_back_end_asked_for_wins(install: Callable, name: str) -> None:
    install("tensorflow_model_server", "docker")
    assert choose_backend(name) == (name, "--backend asks for it")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "tensorflow-serving",
            "No tensorflow_model_server is on the PATH: install it, or take --backend docker or embedded.",
        ),
        ("docker", "--backend docker: no docker is there; start Docker, or take --backend embedded."),
        (
            "triton",
            "There is no back end 'triton': --backend takes auto, tensorflow-serving, docker, embedded.",
        ),
    ],
)
def test_back_end_that_is_not_there_is_refused(install: Callable, name: str, message: str) -> None:
    install()
    assert message_of(choose_backend, name) == message


# --- the command line of tensorflow_model_server


def test_tensorflow_serving_gets_the_flags_as_they_are() -> None:
    given = parse("--model_name=a b", "--model_base_path=/m", "--enable_batching", "--enable_profiler=false")
    assert tensorflow_serving_command(given) == [
        "tensorflow_model_server",
        "--rest_api_port=8501",
        "--model_name=a b",
        "--model_base_path=/m",
        "--enable_batching=true",
        "--enable_profiler=false",
    ]


def test_tensorflow_serving_takes_no_other_host() -> None:
    assert tensorflow_serving_command(parse("--host=0.0.0.0"))[1:] == ["--rest_api_port=8501"]
    assert message_of(tensorflow_serving_command, parse("--host=127.0.0.1")) == (
        "tensorflow_model_server listens on every address and knows no --host: leave it out, or take another --backend."
    )


# --- the child


@pytest.mark.parametrize("backend", ["tensorflow-serving", "docker"])
def test_child_is_announced_when_its_model_is_available(
    install: Callable, model: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    folder = install("tensorflow_model_server", "docker")
    monkeypatch.setenv("SERVES", "2")
    rest, grpc = free_port(), free_port()
    flags = ["--model_name=a", f"--model_base_path={model}", f"--rest_api_port={rest}", f"--port={grpc}"]
    status = start(backend, parse(*flags))
    shown = capfd.readouterr()
    assert status == 7
    assert shown.err == "a line of the log\n"
    host = {"tensorflow-serving": "0.0.0.0", "docker": "127.0.0.1"}[backend]
    assert shown.out.splitlines() == [
        "Serving a.",
        f"gRPC: {host}:{grpc}",
        f"REST: http://{host}:{rest}",
        f"""Try:  curl -d '{{"instances": ["how do i "]}}' http://127.0.0.1:{rest}/v1/models/a:predict""",
    ]
    name = "docker" if backend == "docker" else "tensorflow_model_server"
    command = (docker_command if backend == "docker" else tensorflow_serving_command)(parse(*flags))
    assert json.loads((folder / f"{name}.json").read_text()) == command[1:]


def test_child_without_rest_is_announced_when_grpc_answers(
    install: Callable, model: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("tensorflow_model_server")
    monkeypatch.setenv("SERVES", "2")
    port = free_port()
    start("tensorflow-serving", parse(f"--model_base_path={model}", "--rest_api_port=0", f"--port={port}"))
    assert capfd.readouterr().out.splitlines() == ["Serving default.", f"gRPC: 0.0.0.0:{port}"]


@pytest.mark.parametrize("status", [0, 3, 255])
def test_child_that_ends_early_passes_its_exit_status_on(
    install: Callable, model: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    install("tensorflow_model_server")
    monkeypatch.setenv("FAILS", str(status))
    flags = [f"--model_base_path={model}", f"--rest_api_port={free_port()}", f"--port={free_port()}"]
    assert start("tensorflow-serving", parse(*flags)) == status
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("backend", ["tensorflow-serving", "docker"])
def test_version_is_the_back_end_s(install: Callable, capfd: pytest.CaptureFixture, backend: str) -> None:
    install("tensorflow_model_server", "docker")
    assert start(backend, parse("--version")) == 0
    assert capfd.readouterr().out == "TensorFlow ModelServer: 9\n"


def test_port_in_use_is_refused_before_the_child_starts(install: Callable, model: Path) -> None:
    folder = install("tensorflow_model_server")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        flags = [f"--model_base_path={model}", f"--rest_api_port={free_port()}", f"--port={port}"]
        assert message_of(start, "tensorflow-serving", parse(*flags)) == (
            f"Port {port} is in use: give --port another number."
        )
    assert not (folder / "tensorflow_model_server.json").exists()


def test_bad_configuration_is_refused_before_the_child_starts(install: Callable, tmp_path: Path) -> None:
    folder = install("tensorflow_model_server")
    (tmp_path / "models.config").write_text("bogus")
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in message_of(
        start, "tensorflow-serving", parse(f"--model_config_file={tmp_path}/models.config")
    )
    assert not (folder / "tensorflow_model_server.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("when", ["available", "loading"])
def test_signal_is_passed_on(install: Callable, model: Path, number: signal.Signals, when: str) -> None:
    install("tensorflow_model_server")
    models = {"available": "a", "loading": ""}[when]  # without a name it waits for gRPC, which the stand-in leaves shut
    arguments = [f"--model_name={models}", f"--model_base_path={model}"]
    arguments += [f"--rest_api_port={free_port()}", f"--port={free_port()}"]
    script = (
        "import sys\n"
        "from charflow.serving.launch.backends import start\n"
        "from charflow.serving.settings.flag_parser import parse_flags\n"
        "sys.exit(start('tensorflow-serving', parse_flags(sys.argv[1:], prog='p', rest_api_port=0)))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    if when == "available":
        while not process.stdout.readline().startswith("Try: "):  # the last line of what it says once it can be called
            assert process.poll() is None
    else:
        assert process.stderr.readline() == "a line of the log\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert out.endswith(f"ended by {number.name}\n")
    assert process.returncode == 5


def test_child_killed_by_a_signal_gives_its_number(install: Callable, model: Path) -> None:
    folder = install()
    (folder / "tensorflow_model_server").write_text("#!/bin/sh\nkill -9 $$\n")
    (folder / "tensorflow_model_server").chmod(0o755)
    flags = [f"--model_base_path={model}", f"--rest_api_port={free_port()}", f"--port={free_port()}"]
    assert start("tensorflow-serving", parse(*flags)) == 128 + signal.SIGKILL


def test_signal_handlers_are_put_back(install: Callable, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("tensorflow_model_server")
    monkeypatch.setenv("FAILS", "0")
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    start("tensorflow-serving", parse(f"--model_base_path={model}", "--rest_api_port=0", f"--port={free_port()}"))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_signal_from_before_the_child_was_there_is_passed_on(
    install: Callable, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install()
    (folder / "tensorflow_model_server").write_text("#!/bin/sh\nread line\n")
    (folder / "tensorflow_model_server").chmod(0o755)

    class Late(subprocess.Popen):
        def __init__(self, command: list[str], **options: Any) -> None:
            signal.raise_signal(signal.SIGTERM)
            super().__init__(command, stdin=subprocess.PIPE, **options)

    monkeypatch.setattr(subprocess, "Popen", Late)
    flags = [f"--model_base_path={model}", f"--rest_api_port={free_port()}", f"--port={free_port()}"]
    assert start("tensorflow-serving", parse(*flags)) == 128 + signal.SIGTERM
