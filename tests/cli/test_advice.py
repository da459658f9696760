"""Advice from layers that several commands share: each command gives what it has the options for, and no other.

Those layers name settings, as a program that calls them does; the command names its options.
"""

import ast
import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from charflow.cli.app import app
from charflow.cli.options import spelled
from charflow.pipeline.errors import PeerError, UserError
from charflow.sentences import Sentence
from tests.support import ROOT

ROOMS = ("pipeline", "model", "export", "serving/client")
SHARED = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
ERRORS = ("UserError", "SettingError", "LayoutError", "DivergedError", "PeerError")
SOLE = {  # modules whose errors only one command meets
    "publish.py": "export",
    "presets.py": "train",
    "sweep.py": "sweep",
    "space.py": "sweep",
    "configure.py": "train",
    "trainer.py": "train",
}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*(?![\w-])")
SPELLED_OUT = re.compile(r"charflow ([a-z]+)[^:.]*?(--.*)")
# A table with a column for Python and one for commands; and what is a command itself, beside the models it runs.
TOLD_TO_COMMANDS = {"trouble.py", "litert_runner.py"}


def commands() -> dict[str, set[str]]:
    """The options of every command."""

    def walk(command: typer.core.TyperCommand, name: str) -> Iterator[tuple[str, set[str]]]:
        for child, below in getattr(command, "commands", {}).items():
            yield from walk(below, f"{name} {child}".strip())
        if not hasattr(command, "commands"):
            yield name, {option for parameter in command.params for option in parameter.opts}

    return dict(walk(typer.main.get_command(app), ""))


COMMANDS = commands()


def strings(path: Path) -> Iterator[str]:
    """The texts of a module that a caller may see: all but its documentation."""
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield text_of(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation | parts:
            yield node.value


def text_of(node: ast.expr) -> str:
    """A text with something in place of what only running it would tell."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "X"


def templates(path: Path) -> Iterator[tuple[bool, set[str]]]:
    """The sentences of a module: whether they are advice, and the settings that they name."""
    tree = ast.parse(path.read_text())
    called = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    advice = {
        id(inner)
        for call in called
        for keyword in call.keywords
        if keyword.arg == "advice"
        for inner in ast.walk(keyword.value)
    }
    for call in called:
        if getattr(call.func, "id", "") in ("Sentence", "SettingError") and call.args:
            found = {name for _, name, _, _ in string.Formatter().parse(text_of(call.args[0])) if name}
            values = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
            given = {
                key.value
                for value in values.values()
                if isinstance(value, ast.Dict)
                for key in value.keys
                if isinstance(key, ast.Constant)
            }
            yield id(call) in advice, (found - set(values)) | given


ADVICE = [names for path in SHARED for is_advice, names in templates(path) if is_advice and names]


def test_there_is_advice() -> None:
    assert len(ADVICE) >= 4
    assert {"explore", "train", "evaluate", "bench train", "launch"} < set(COMMANDS)


@pytest.mark.parametrize("path", SHARED, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_python_callers_are_told_names_no_options(path: Path) -> None:
    if path.name in TOLD_TO_COMMANDS:
        return
    every = set().union(*COMMANDS.values())
    for text in strings(path):
        if not every & set(OPTION.findall(text)):
            continue
        found = SPELLED_OUT.search(text)
        assert found, f"{path}: {text!r} names an option: name the setting, in a Sentence"
        assert set(OPTION.findall(found[2])) <= {*COMMANDS[found[1]], "--"}, text


@pytest.mark.parametrize("path", [path for path in SHARED if path.name in SOLE], ids=lambda path: path.name)
def test_errors_that_one_command_meets_name_settings_that_it_has(path: Path) -> None:
    for _, names in templates(path):
        assert {spelled(name) for name in names - {"sentence", "found"}} <= COMMANDS[SOLE[path.name]]


@pytest.mark.parametrize("names", ADVICE, ids=lambda names: " ".join(sorted(names)))
def test_every_advice_is_for_some_command(names: set[str]) -> None:
    assert any({spelled(name) for name in names} <= options for options in COMMANDS.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_gives_advice_that_it_has_no_options_for(command: str) -> None:
    for names in [*ADVICE, {"encoding", "skip_bad_rows"}]:
        sentence = Sentence("Pass {names}.", names=tuple(sorted(names)))
        error = UserError("It is wrong.", advice=sentence)
        error.fit_to(lambda setting: spelled(setting) in COMMANDS[command])
        assert set(OPTION.findall(error.told(spelled))) <= COMMANDS[command]
        assert error.told(spelled).startswith("It is wrong.")


def test_peers_are_told_of_an_option_by_the_command_and_of_a_setting_by_python() -> None:
    error = PeerError(Sentence("worker 1 is gone: start all again with {resume}."))
    assert str(error) == "worker 1 is gone: start all again with resume."
    assert error.told(spelled) == "worker 1 is gone: start all again with --resume."


@pytest.mark.slow
def test_bench_does_not_advise_what_only_train_has(
    refused: Callable, sample_chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    start = f"The corpus cache {tmp_path}/cache/charflow cannot be written ("
    message = refused("bench", "train", sample_chat)
    assert message.startswith(start) and message.endswith("): free some room.")
    message = refused("train", sample_chat, "--out", tmp_path / "run")
    assert message.endswith("Or name another folder with --cache, or pass --no-cache.")


@pytest.mark.slow
def test_explore_takes_the_min_count_that_it_advises(call: Callable, refused: Callable, sample_chat: str) -> None:
    user = ["--user", "mira", "--window-length", 10, "--json"]
    all_of_them = call("explore", sample_chat, *user).json["user"]["distinct_characters"]
    assert call("explore", sample_chat, *user, "--min-count", 50).json["user"]["distinct_characters"] < all_of_them
    message = refused("explore", sample_chat, *user, "--min-count", 10**6)
    assert message == "No character occurs 1,000,000 times. Lower --min-count."


@pytest.mark.parametrize(
    ("command", "advice"),
    [("train", ": lower --units, --batch-size or --window-length."), ("explore", ".")],
)
def test_command_out_of_memory_names_options_that_it_has(
    refused: Callable, sample_chat: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, advice: str
) -> None:
    def no_room(*_: object, **__: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("charflow.pipeline.formats.inputs._expand", no_room)
    out = ["--out", tmp_path / "run"] if command == "train" else []
    assert refused(command, sample_chat, *out) == f"Out of memory (no room){advice}"
