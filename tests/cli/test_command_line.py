"""What is typed is text, and no text that is typed ends in a traceback: generated from the commands' own parameters."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from charflow.cli import options
from charflow.cli.app import app
from charflow.cli.command_line import Command, check_environment
from charflow.model.config import Config
from charflow.pipeline.errors import UserError

CONTROLS = "a\x1b[31m\r\x07\x9b\u202e\n"
# What every command needs besides the option that is tried; {name} stands for what `places` makes.
NEEDS: dict[str, list[str]] = {
    "explore": ["{chat}"],
    "prepare": ["{chat}", "--to", "{new}"],
    "train": ["{chat}", "--out", "{new}"],
    "sweep": ["{chat}", "--out", "{new}", "--trials", "1"],
    "evaluate": ["{run}"],
    "who": ["a", "--among", "{run}"],
    "generate": ["{run}", "a", "--length", "1"],
    "export": ["{run}", "--to", "{new}"],
    "complete": ["a", "--server", "127.0.0.1:1", "--timeout", "1"],
    "promote": ["{new}", "1", "--force", "--server", "127.0.0.1:1"],
    "demo": ["--out", "{new}"],
    "launch": ["--workers", "1", "--", "nothing"],
    "serve": ["--backend=tensorflow_model_server"],
    "bench decode": ["--units", "4", "--batch-size", "1", "--chars", "2", "--turns", "1", "--no-xla"],
    "bench all": ["{chat}", "--turns", "0"],  # it would measure for minutes
    "bench pipeline": ["{chat}", "--turns", "0"],
    "bench serve": ["--turns", "0"],
    "bench train": ["{chat}", "--workers", "0", "--seconds", "0.1"],
}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its name."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        yield from (
            ((f"{name} {inner}", each) for inner, each in command.commands.items())
            if hasattr(command, "commands")
            else [(name, command)]
        )


def takes_text(parameter: Any) -> bool:
    return not getattr(parameter, "is_flag", False) and not re.search(
        "int|float", str(parameter.type_descriptor.annotation)
    )


PARAMETERS = [
    pytest.param(name, parameter, id=f"{name} {parameter.name}")
    for name, command in commands()
    for parameter in command.params
    if takes_text(parameter) and parameter.name != "help"
]


def words(name: str, parameter: Any, text: str, places: dict[str, str]) -> list[str]:
    """A command line that gives a parameter a text."""
    needed = [word.format(**places) for word in NEEDS[name]]
    option = next((option for option in parameter.opts if option.startswith("--")), None)
    if option in needed:
        needed[needed.index(option) + 1] = text
    elif option:
        needed = [option, text, *needed]
    elif parameter.name == "version":
        needed[1] = text
    else:
        needed[0] = text
    return [*name.split(), *needed]


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chats") / "chat.csv"
    path.write_text("fromUser.id,text\n" + "mira,oh my dears\n" * 20)
    return path


@pytest.fixture
def places(chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    return {"chat": str(chat), "new": str(tmp_path / "new"), "run": str(tmp_path / "no-run")}


def test_every_command_is_tried() -> None:
    assert {name for name, _ in commands()} == set(NEEDS)
    assert [name for name, command in commands() if not isinstance(command, Command)] == []
    assert len(PARAMETERS) > 60


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_bytes_that_are_not_utf8_are_refused(
    refused: Callable, places: dict[str, str], tmp_path: Path, name: str, parameter: Any
) -> None:
    message = refused(*words(name, parameter, "caf\udce9", places))
    assert message == r"'caf\xe9' is not UTF-8 text: type it in a UTF-8 terminal, or rename the file."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["--nope=caf\udce9", "caf\udce9", "--model_name=\ud800"])
@pytest.mark.parametrize("command", ["launch", "serve", "nope", "--version", "bench"])
def test_bytes_that_are_not_utf8_are_refused_wherever_they_stand(refused: Callable, command: str, word: str) -> None:
    assert "is not UTF-8 text" in refused(command, word)


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_empty_text_is_refused_where_it_means_nothing(
    refused: Callable, places: dict[str, str], tmp_path: Path, name: str, parameter: Any
) -> None:
    if parameter.name in ("prompt", "stop", "user", "drop_user"):
        pytest.skip("an empty prompt, stop or id means something")
    message = refused(*words(name, parameter, "", places))
    assert message.endswith(" is empty, as an unset variable of the shell leaves it: give it a text.")
    assert message.startswith(next((option for option in parameter.opts if option.startswith("--")), ""))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_control_characters_never_reach_a_terminal_nor_end_in_a_traceback(
    call: Callable, untrained: list[Config], places: dict[str, str], name: str, parameter: Any
) -> None:
    if (name, parameter.name) in (("demo", "out"), ("sweep", "out"), ("sweep", "cache"), ("bench train", "preset")):
        pytest.skip("it would train; the same option of train is tried")
    done = call(*words(name, parameter, CONTROLS, places))
    assert done.status in (0, 2), done
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.out + done.err), done


def test_environment_that_is_not_utf8_is_refused(refused: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "caf\udce9")
    message = r"The environment variable 'TF_CONFIG=caf\xe9' is not UTF-8 text: set it anew."
    assert refused("explore", "chat.csv") == message
    check_environment({"SOMEBODY_ELSES": "\udce9"})
    with pytest.raises(UserError, match="CHARFLOW_X"):
        check_environment({"CHARFLOW_X": "\udce9"})


def test_process_refuses_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "charflow", "explore", b"caf\xe9.csv"]
    for language in ("C", "C.UTF-8"):
        done = subprocess.run(command, env={**os.environ, "LC_ALL": language}, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "charflow: 'caf\\xe9.csv' is not UTF-8 text: type it in a UTF-8 terminal, or rename the file.\n"
        )


def test_glob_beside_a_badly_named_file_is_one_sentence(refused: Callable, chat: Path, tmp_path: Path) -> None:
    shutil.copy(chat, os.fsencode(tmp_path) + b"/caf\xe9.csv")
    message = refused("explore", tmp_path / "*.csv")
    assert message.endswith(r"caf\xe9.csv' is not UTF-8 text: rename the file, or save it as UTF-8.")


def test_config_file_that_is_not_utf8_is_named(refused: Callable, places: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b'[network]\ncell = "caf\xe9"\n')
    message = refused("train", places["chat"], "--out", places["new"], "--config", "mine.toml")
    assert message.startswith("mine.toml")
    assert "UTF-8" in message


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (["generate", "run", "--temprature", "1"], "Did you mean --temperature?"),
        (["train", "chat.csv", "--temprature", "1"], "--temperature is an option of generate, export, complete."),
        (["train", "chat.csv", "--window-lenght", "1"], "Did you mean --window-length?"),
        (["explore", "chat.csv", "--xyz"], "No such option: --xyz. Try --help."),
        (["--verson"], "Did you mean --version?"),
        (["generate", "run", "--max-chars", "5"], "Did you mean --length?"),
        (["complete", "--max-char", "5"], "Did you mean --length?"),
        (["explore", "chat.csv", "--min-length", "5"], "--min-length is an option of prepare, train, sweep."),
        (["generate", "run", "--temp", "1"], "Did you mean --temperature?"),
        (["explore", "chat.csv", "--users", "a"], "Did you mean --user?"),
        (["generate", "run", "--prompt", "a"], "PROMPT is given without the name of an option. Try --help."),
        (["export", "run", "--out", "a"], "Did you mean --to?"),
        (["bench", "train", "chat.csv", "--dropout", "0"], "--dropout is an option of train."),
        (["train", "chat.csv", "--workers", "2"], "--workers is an option of launch, bench train."),
        (["genrate"], "No such command 'genrate'. Did you mean 'generate'? Try --help."),
    ],
    ids=[
        "own",
        "of another command",
        "transposed",
        "nothing alike",
        "of charflow",
        "of a served model",
        "of a served model, misspelt",
        "of another command exactly",
        "cut short",
        "of Python",
        "argument",
        "word of another command",
        "bench",
        "of bench",
        "command",
    ],
)
def test_misspelt_words_get_the_nearest(refused: Callable, line: list[str], advice: str) -> None:
    assert advice in refused(*line)


SETTINGS = [
    pytest.param(name, option, id=f"{name} {setting}")
    for setting, option in options._SPELLED.items()
    for name, command in commands()
    if option in {each for parameter in command.params for each in parameter.opts} and name not in ("serve", "launch")
]


@pytest.mark.parametrize(("name", "option"), SETTINGS)
def test_every_other_name_of_a_setting_leads_to_its_option(
    refused: Callable, request: pytest.FixtureRequest, name: str, option: str
) -> None:
    setting = request.node.callspec.id.rpartition(" ")[2].replace("_", "-")
    message = refused(*name.split(), f"--{setting}", "1")
    assert message.startswith(f"No such option: --{setting}. Did you mean {option}?")


def test_prepared_corpora_and_runs_name_the_options_to_leave_out(
    refused: Callable, call: Callable, chat: Path, own_run: Path, sample_chat: str, tmp_path: Path
) -> None:
    folder, run = tmp_path / "prepared", tmp_path / "run"
    assert call("prepare", chat, "--to", folder).status == 0
    reading = ["--user", "a", "--keep-case", "--no-header", "--min-length", "3"]
    message = refused("train", folder, "--out", run, *reading)
    assert "leave --user, --min-length, --keep-case and --no-header out" in message
    assert "leave --user and --delimiter out" in refused("evaluate", own_run, "--user", "a", "--delimiter", ";")
    message = refused("train", sample_chat, "--out", own_run, "--resume", "--preset", "tutorial")
    assert message == "A resumed run keeps its settings: leave --preset out."
    message = refused("train", sample_chat, "--out", own_run, "--resume", "--units", "3", "--checkpoint-every", "500")
    assert "leave --units and --checkpoint-every out; only --epochs, --steps" in message
    message = refused("train", chat, "--out", run, "--streaming")
    assert message == "--streaming needs a corpus that charflow prepare has written."
