"""The command as a whole: help, usage, exit statuses, and how it behaves as a process."""

import errno
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests import forked

ENDLESS = ["--length", 10_000_000, "--no-stop-at-end"]
OPTIONS = {
    "explore": ["DATA", "--user", "--drop-user", "--plot", "--skip-bad-rows", "--json"],
    "train": [
        *["DATA", "--out", "--user", "--drop-user", "--fraction", "--preset", "--config", "--epochs", "--steps"],
        *["--time-limit", "--batch-size", "--seed", "--resume", "--json"],
    ],
    "evaluate": ["RUN", "DATA", "--context", "--json"],
    "generate": ["RUN", "PROMPT", "--length", "--temperature", "--top-k", "--top-p", "--seed", "--stop", "--count"],
    "export": ["RUN", "--to", "--check", "--version", "--json"],
    "demo": ["--out", "--seconds"],
}


def test_help_lists_the_commands(call: Callable) -> None:
    done = call("--help")
    assert (done.status, done.err) == (0, "")
    listed = [line.split()[0] for line in done.out.partition("Commands:")[2].splitlines() if line.strip()]
    assert set(listed) >= set(OPTIONS)


@pytest.mark.parametrize("command", OPTIONS)
def test_help_of_a_command_shows_what_it_takes(call: Callable, command: str) -> None:
    done = call(command, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Usage: ")
    assert [option for option in OPTIONS[command] if option not in done.out] == []


def test_help_does_not_load_tensorflow() -> None:
    script = (
        "import sys\n"
        "from charflow.cli.app import run\n"
        f"statuses = [run([*command, '--help']) for command in {[[], *[[name] for name in OPTIONS]]}]\n"
        "loaded = sorted({'tensorflow', 'keras', 'pandas', 'matplotlib'} & set(sys.modules))\n"
        "print(statuses, loaded, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == f"{[0] * (1 + len(OPTIONS))} []\n"


def version_line() -> str:
    beside = f"TensorFlow {version('tensorflow')}, Keras {version('keras')}, Python {platform.python_version()}"
    return f"charflow {version('charflow')} ({beside})\n"


def test_versions_are_the_installed_ones(call: Callable) -> None:
    done = call("--version")
    assert (done.status, done.out, done.err) == (0, version_line(), "")


def test_module_runs_as_the_command_does() -> None:
    done = subprocess.run([sys.executable, "-m", "charflow", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, version_line())


def test_charflow_alone_shows_its_help(call: Callable) -> None:
    done = call()
    shown = done.out + done.err
    assert "explore" in shown
    assert shown.startswith("Usage: ")
    assert "Try --help" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "No such command 'nope'. Try --help."),
        (["train", "chat.csv"], "Missing option '--out'. Try --help."),
        (["train", "--out", "run"], "Missing argument 'DATA'. Try --help."),
        (["evaluate"], "Missing argument 'RUN'. Try --help."),
        (["generate"], "Missing argument 'RUN'. Try --help."),
        (["export"], "Name a run and where its versions go: charflow export RUN --to BASE."),
        (["export", "run"], "Name a run and where its versions go: charflow export RUN --to BASE."),
        (
            ["export", "run", "--to", "m", "--check", "m/1"],
            "RUN and --to are of no use with --check: leave them out.",
        ),
    ],
    ids=[
        *["unknown command", "no --out", "no DATA", "no RUN to evaluate", "no RUN to generate"],
        *["nothing to export", "nowhere to export", "export and check"],
    ],
)
def test_wrong_usage_is_one_line(refused: Callable, arguments: list[str], message: str) -> None:
    assert refused(*arguments) == message


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["explore", "chat.csv", "--nope"], "No such option: --nope"),
        (["train", "chat.csv", "--out", "run", "--units", "many"], "'--units'"),
        (["generate", "run", "--temperature", "warm"], "'--temperature'"),
    ],
    ids=["unknown option", "no integer", "no number"],
)
def test_wrong_option_is_named_in_one_line(refused: Callable, arguments: list[str], says: str) -> None:
    message = refused(*arguments)
    assert says in message
    assert message.endswith(". Try --help.") or message.endswith("). Try --help.")


def test_installed_command_ends_with_two_and_one_line(start: Callable) -> None:
    process = start("explore", "missing.csv", real=True)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (2, "", "charflow: missing.csv: no such file.\n")


@pytest.mark.parametrize("command", ["generate", "explore"])
def test_closed_pipe_ends_a_command_in_peace(
    start: Callable, trained_run: Path, sample_chat: str, command: str
) -> None:
    arguments = {"generate": [trained_run, *ENDLESS], "explore": [sample_chat]}[command]
    process = start(command, *arguments)
    process.stdout.close()  # as head does once it has its lines
    err = process.stderr.read()
    assert (process.wait(), err) == (0, "")


def test_nobody_needs_to_hear_of_a_mistake(start: Callable) -> None:
    process = start("explore", "missing.csv")
    process.stderr.close()
    assert process.wait() == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
@pytest.mark.parametrize("command", [["--version"], ["--help"], ["explore", "{chat}"], ["explore", "{chat}", "--json"]])
def test_full_disk_under_standard_output_is_one_sentence(sample_chat: str, command: list[str]) -> None:
    words = [str(Path(sys.executable).with_name("charflow")), *(word.format(chat=sample_chat) for word in command)]
    with Path("/dev/full").open("w") as full:
        done = forked.run(words, stdout=full)
        assert (done.returncode, done.stderr) == (
            2,
            "charflow: No space left on device. Free some room and try again.\n",
        )
        assert forked.run([words[0], "explore", "missing.csv"], stderr=full).returncode == 2


def test_ctrl_c_ends_a_command_with_130(start: Callable, trained_run: Path) -> None:
    process = start("generate", trained_run, *ENDLESS)
    assert len(process.stdout.read(10)) == 10
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (130, "charflow: interrupted.\n")


def test_full_disk_is_one_line_with_advice(refused: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "chat.csv"))

    monkeypatch.setattr("charflow.pipeline.sample_chat.write_sample_chat", fail)
    message = refused("demo", "--out", tmp_path / "demo")
    assert message == f"{tmp_path}/chat.csv: No space left on device. Free some room and try again."


def test_demo_refuses_a_folder_with_something_in_it(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    says = f"{tmp_path} holds other files: name a new or empty folder for the demo."
    assert refused("demo", "--out", tmp_path) == says
    assert [child.name for child in tmp_path.iterdir()] == ["mine.txt"]


def test_demo_refuses_a_file(refused: Callable, tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("mine")
    assert refused("demo", "--out", file) == f"{file} is a file: name a folder for the demo."
    assert file.read_text() == "mine"


@pytest.mark.parametrize("seconds", [0, -1])
def test_demo_refuses_a_time_before_it_writes(refused: Callable, tmp_path: Path, seconds: int) -> None:
    folder = tmp_path / "demo"
    message = refused("demo", "--out", folder, "--seconds", seconds, underway=True)
    assert "time" in message or "seconds" in message
    assert not folder.exists()
