"""`charflow serve`: the table of flags on this command line, and the back end it starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charflow.serving.settings.flags import FLAGS


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Replaces the start of a back end; there is neither tensorflow_model_server nor Docker."""
    record: dict[str, Any] = {"status": 0}

    def start(backend: str, given: dict) -> int:
        record.update(backend=backend, given=given)
        return record["status"]

    monkeypatch.setattr("charflow.serving.launch.backends.start", start)
    monkeypatch.setenv("PATH", str(tmp_path))
    return record


def install(folder: Path, name: str, script: str) -> Path:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return folder / name


def test_serve_passes_the_flags_on(call: Callable, started: dict) -> None:
    done = call("serve", "--model_name", "a", "--model_base_path=/m/a", "--enable_batching", "--port", 9000)
    assert (done.status, done.out) == (0, "")
    assert done.err == ("Back end: embedded (no tensorflow_model_server is on the PATH, and no docker is there).\n")
    assert started["backend"] == "embedded"
    assert started["given"] == {
        "rest_api_port": 8501,
        "model_name": "a",
        "model_base_path": "/m/a",
        "enable_batching": True,
        "port": 9000,
        "playground": True,
        "openai_completions": True,
    }


@pytest.mark.parametrize(
    ("given", "resolved"),
    [("models/a", "{here}/models/a"), ("./m", "{here}/m"), ("~/m", "{home}/m"), ("/m", "/m"), ("gs://b/m", "gs://b/m")],
)
def test_serve_takes_a_relative_base_path(
    call: Callable, started: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, resolved: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/a")
    assert call("serve", f"--model_base_path={given}").status == 0
    assert started["given"]["model_base_path"] == resolved.format(here=tmp_path, home="/home/a")


@pytest.mark.parametrize("spelling", [["--backend=embedded"], ["--backend", "embedded"]], ids=["equals", "space"])
def test_serve_takes_the_back_end_asked_for(call: Callable, started: dict, spelling: list[str]) -> None:
    done = call("serve", "--rest_api_port=0", *spelling)
    assert done.err == "Back end: embedded (--backend asks for it).\n"
    assert started["given"] == {"rest_api_port": 0}


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["--backend=embedded"], {"playground": True, "openai_completions": True}),
        (["--backend=embedded", "--playground=false"], {"playground": False, "openai_completions": True}),
        (["--backend=tensorflow-serving"], {}),
    ],
    ids=["by itself", "turned off", "nothing that another back end would refuse"],
)
def test_serve_has_what_is_for_people_where_the_server_is_ours(
    call: Callable, started: dict, tmp_path: Path, arguments: list[str], given: dict
) -> None:
    install(tmp_path, "tensorflow_model_server", "exit 0")
    assert call("serve", *arguments).status == 0
    assert started["given"] == {"rest_api_port": 8501, **given}


def test_serve_takes_tensorflow_model_server_where_it_is(call: Callable, started: dict, tmp_path: Path) -> None:
    server = install(tmp_path, "tensorflow_model_server", "exit 0")
    assert call("serve").err == f"Back end: tensorflow-serving (tensorflow_model_server is {server}).\n"
    assert started["backend"] == "tensorflow-serving"


@pytest.mark.parametrize("status", [0, 1, 143])
def test_serve_exits_as_the_back_end_does(call: Callable, started: dict, status: int) -> None:
    started["status"] = status
    assert call("serve").status == status


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--modle_name=a"], "There is no flag --modle_name: the nearest is --model_name."),
        (["--bakend=docker"], "There is no flag --bakend: the nearest is --backend."),
        (["--port=x"], "--port must be a whole number, not 'x'. Try --help."),
        (["a"], "Unexpected argument 'a': flags are given as --name=value."),
        (
            ["--backend=triton"],
            "There is no back end 'triton': --backend takes auto, tensorflow-serving, docker, embedded.",
        ),
        (
            ["--backend=docker"],
            "--backend docker: no docker is there; start Docker, or take --backend embedded.",
        ),
    ],
    ids=["unknown-flag", "unknown-flag-of-ours", "no-number", "argument", "unknown-back-end", "no-docker"],
)
def test_serve_refuses_in_one_sentence(refused: Callable, started: dict, arguments: list[str], message: str) -> None:
    assert refused("serve", *arguments) == message
    assert "backend" not in started


def test_serve_refuses_what_the_embedded_server_does_not_honour(refused: Callable) -> None:
    message = refused("serve", "--backend=embedded", "--enable_profiler", underway=True)
    assert message == (
        "--enable_profiler is not honoured by the embedded server: leave it out, or run tensorflow_model_server."
    )


def test_serve_passes_an_unhonoured_flag_on_to_tensorflow_model_server(
    call: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "tensorflow_model_server", f'echo "$@" > {tmp_path}/arguments; exit 3')
    monkeypatch.setenv("PATH", str(tmp_path))
    done = call("serve", "--model_base_path=/m", "--num_load_threads=2", "--rest_api_port=0", "--port=1")
    assert done.status == 3
    assert (tmp_path / "arguments").read_text() == (
        "--rest_api_port=0 --model_base_path=/m --num_load_threads=2 --port=1\n"
    )


def test_serve_shows_the_version_of_the_embedded_server(call: Callable) -> None:
    done = call("serve", "--backend=embedded", "--version")
    assert done.status == 0
    assert done.out.startswith("TensorFlow ModelServer: ")


def test_serve_help_shows_every_flag(call: Callable) -> None:
    done = call("serve", "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Usage: charflow serve [--flag=value ...]\n")
    assert [flag.name for flag in FLAGS if f"--{flag.name} " not in done.out] == []
    assert "auto, tensorflow-serving, docker, embedded. [default: auto]" in " ".join(done.out.split())
