"""`charflow-model-server`, with the embedded server itself replaced."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from types import ModuleType
from typing import Any

import pytest

from charflow.serving.errors import UsageError
from charflow.serving.launch import model_server
from charflow.serving.ready import print_ready
from charflow.serving.settings.flags import ServerFlags

SHUT_IN = (
    "It listens on {} only, which nothing outside this container reaches: give --host=0.0.0.0 for every address.\n"
)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replaces the server; records its flags, and does what `does` says."""
    record: dict[str, Any] = {"does": lambda: 0}

    def serve(flags: ServerFlags, *, announce: Callable[..., None]) -> int:
        record.update(flags=flags, announce=announce)
        return record["does"]()

    server = ModuleType("charflow.serving.embedded.server")
    server.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, server.__name__, server)
    monkeypatch.setattr(model_server, "check_listening", lambda *_: None)  # the usual ports may be in use here
    return record


def leave(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        model_server.main(arguments)
    assert isinstance(leaving.value.code, int)
    return leaving.value.code


def test_server_gets_the_flags_and_rest_is_off(served: dict) -> None:
    assert leave("--model_name=a", "--model_base_path", "/m/a", "--port=9000") == 0
    assert served["flags"] == ServerFlags(model_name="a", model_base_path="/m/a", port=9000, rest_api_port=0)
    assert served["announce"] is print_ready


def test_server_takes_its_arguments_from_the_command_line(served: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["charflow-model-server", "--model_base_path=/m/b"])
    with pytest.raises(SystemExit):
        model_server.main()
    assert served["flags"].model_base_path == "/m/b"


@pytest.mark.parametrize("status", [0, 1, 143])
def test_exit_status_is_the_server_s(served: dict, status: int) -> None:
    served["does"] = lambda: status
    assert leave("--model_base_path=/m") == status


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--modle_name=a"], "There is no flag --modle_name: the nearest is --model_name."),
        ([], "There is nothing to serve: give --model_base_path or --model_config_file."),
        (
            ["--model_base_path=/m", "--enable_profiler"],
            "--enable_profiler is not honoured by the embedded server: leave it out, or run tensorflow_model_server.",
        ),
        (["--backend=docker"], "There is no flag --backend: see --help."),
    ],
    ids=["unknown", "no-model", "not-honoured", "of-the-other-command"],
)
def test_wrong_flags_are_one_sentence(
    served: dict, capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    assert leave(*arguments) == 2
    assert capsys.readouterr() == ("", f"charflow-model-server: {message}\n")
    assert "flags" not in served


def test_server_that_cannot_start_says_so(served: dict, capsys: pytest.CaptureFixture) -> None:
    def refuse() -> int:
        raise UsageError("--ssl_config_file: /no/such cannot be read: No such file or directory.")

    served["does"] = refuse
    assert leave("--model_base_path=/m") == 1
    assert capsys.readouterr() == (
        "",
        "Failed to start server. Error: --ssl_config_file: /no/such cannot be read: No such file or directory.\n",
    )


def test_version_is_shown_without_a_model(served: dict, capsys: pytest.CaptureFixture) -> None:
    assert leave("--version") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"TensorFlow ModelServer: {version('charflow')}, the embedded server of charflow",
        f"TensorFlow Library: {version('tensorflow')}",
    ]
    assert "flags" not in served


def test_help_is_shown(capsys: pytest.CaptureFixture) -> None:
    assert leave("--help") == 0
    assert capsys.readouterr().out.startswith("Usage: charflow-model-server [--flag=value ...]\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["--enable_profiler"],
        [],
        ["--model_base_path=/m", "--host=no.such.host.invalid"],
        ["--model_config_file=/no/such"],
        ["--model_base_path=/m", "--monitoring_config_file=/no/such"],
    ],
    ids=["help", "version", "refused", "no-model", "no-host", "no-config", "no-monitoring"],
)
def test_tensorflow_is_not_loaded_before_the_flags_are_right(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from charflow.serving.launch.model_server import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print('loaded' if 'tensorflow' in sys.modules else 'not loaded')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "not loaded"
    assert "Traceback" not in done.stderr


LOADED_BY = """
import importlib.util, sys
import charflow.serving.launch.model_server as model_server

class Stand:  # in for the embedded server
    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name == "charflow.serving.embedded.server" else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        {work}
        module.serve = lambda flags, announce: 9

sys.meta_path.insert(0, Stand())
model_server.main(["--model_base_path=/m", "--port=0", "--grpc_socket_path=s"])
"""


def run_with_server(work: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*before, sys.executable, "-c", LOADED_BY.format(work=work)], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_tensorflow_is_loaded_ends_it_quietly(number: signal.Signals) -> None:
    done = run_with_server(f"import os; os.kill(os.getpid(), {int(number)}); print('it goes on')")
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")


def test_signal_ends_it_also_as_the_first_process_of_a_container() -> None:
    """Which a signal without a handler does not reach."""
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces of processes: allow unshare to make them")
    work = "import os; os.kill(os.getpid(), 15); print(os.getpid(), 'goes on')"
    done = run_with_server(work, unshare)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGTERM, "", SHUT_IN.format("127.0.0.1"))


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("127.0.0.1", SHUT_IN.format("127.0.0.1")),
        ("localhost", SHUT_IN.format("localhost")),
        ("0.0.0.0", ""),
        ("[::]", ""),
    ],
)
@pytest.mark.parametrize("where", ["first process", "kubernetes", "elsewhere"])
def test_server_says_that_nothing_outside_its_container_reaches_it(
    served: dict, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, where: str, host: str, line: str
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if where == "kubernetes":
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(os, "getpid", lambda: 1 if where == "first process" else 2)
    assert leave("--model_base_path=/m", "--port=0", f"--host={host}", "--grpc_socket_path=s") == 0
    assert capsys.readouterr().err == (line if where != "elsewhere" else "")


def test_server_starts_where_no_folder_can_be_written_to(served: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    assert leave("--model_base_path=/m") == 0
    assert served["flags"].model_base_path == "/m"


def test_tensorflow_is_loaded_without_a_word() -> None:
    done = run_with_server("import tensorflow")
    assert (done.returncode, done.stdout, done.stderr) == (9, "", "")


def test_what_was_said_is_shown_when_loading_fails() -> None:
    done = run_with_server("import os; os.write(2, b'no such library'); raise ImportError('broken')")
    assert done.returncode == 1
    assert done.stderr.startswith("no such libraryTraceback")
    assert "ImportError: broken" in done.stderr
