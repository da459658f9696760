"""Advice from layers that several commands share: each command gives what it has the options for, and no other."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from charflow.cli.app import app
from charflow.pipeline.csv_advice import typed
from charflow.pipeline.errors import OPTION, UserError

ROOT = Path(__file__).resolve().parents[2]
SHARED = [path for room in ("pipeline", "model", "export") for path in sorted((ROOT / room).rglob("*.py"))]
ERRORS = ("UserError", "SettingError", "LayoutError")
SOLE = {  # modules whose errors only one command meets
    "export/publish.py": "export",
    "model/presets.py": "train",
    "model/run_dir.py": "train",
    "model/sweep.py": "sweep",
    "model/sweep_space.py": "sweep",
    "model/trainer.py": "train",
}
SPELLED_OUT = re.compile(r"charflow ([a-z]+)[^:.]*?(--.*)")


def commands() -> dict[str, set[str]]:
    """The options of every command."""

    def walk(command: typer.core.TyperCommand, name: str) -> Iterator[tuple[str, set[str]]]:
        for child, below in getattr(command, "commands", {}).items():
            yield from walk(below, f"{name} {child}".strip())
        if not hasattr(command, "commands"):
            yield name, {option for parameter in command.params for option in parameter.opts}

    return dict(walk(typer.main.get_command(app), ""))


COMMANDS = commands()


def texts(path: Path) -> Iterator[tuple[bool, str]]:
    """The texts in the errors that a module raises: whether they are advice, and the constants in them."""
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ERRORS:
            parts = [(False, part) for part in call.args] + [(True, part.value) for part in call.keywords]
            for is_advice, part in parts:
                strings = [node.value for node in ast.walk(part) if isinstance(node, ast.Constant)]
                yield is_advice, " ".join(text for text in strings if isinstance(text, str))


ADVICE = [text for path in SHARED for is_advice, text in texts(path) if is_advice and OPTION.search(text)]


def test_there_is_advice() -> None:
    assert len(ADVICE) >= 4
    assert {"explore", "train", "evaluate", "bench train", "launch"} < set(COMMANDS)


@pytest.mark.parametrize("path", SHARED, ids=lambda path: str(path.relative_to(ROOT)))
def test_errors_of_shared_layers_name_options_as_advice(path: Path) -> None:
    for is_advice, text in texts(path):
        if is_advice or not OPTION.search(text):
            continue
        if found := SPELLED_OUT.search(text):
            assert set(OPTION.findall(found[2])) <= COMMANDS[found[1]], text
            continue
        sole = SOLE.get(str(path.relative_to(ROOT)))
        assert sole, f"{path}: {text!r} names options outside of advice="
        assert set(OPTION.findall(text)) <= COMMANDS[sole], text


@pytest.mark.parametrize("advice", ADVICE)
def test_every_advice_is_for_some_command(advice: str) -> None:
    assert any(set(OPTION.findall(advice)) <= options for options in COMMANDS.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_gives_advice_that_it_has_no_options_for(command: str) -> None:
    for advice in [*ADVICE, typed({"encoding": "cp1252", "skip_bad_rows": True})]:
        error = UserError("It is wrong.", advice=advice)
        error.fit_to(COMMANDS[command])
        assert set(OPTION.findall(str(error))) <= COMMANDS[command]
        assert str(error).startswith("It is wrong.")


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
    def no_room(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("charflow.pipeline.inputs._expand", no_room)
    out = ["--out", tmp_path / "run"] if command == "train" else []
    assert refused(command, sample_chat, *out) == f"Out of memory (no room){advice}"
