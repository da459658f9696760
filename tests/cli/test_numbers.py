"""Every number of every command, found in the commands themselves: too large, too small or none is one sentence."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from charflow.cli.app import app
from charflow.cli.options import _SPELLED, spelled
from charflow.model.config import Config
from charflow.pipeline.option import settable

# What each command needs before its numbers count; none of it is read or written when a number is refused.
ARGUMENTS: dict[str, list[str]] = {
    "bench all": ["chat.csv"],
    "bench decode": [],
    "bench pipeline": ["chat.csv"],
    "bench serve": [],
    "bench train": ["chat.csv"],
    "complete": ["oh my dears"],
    "demo": ["--out", "new"],
    "explore": ["chat.csv"],
    "export": ["run", "--to", "new"],
    "generate": ["run", "oh my dears"],
    "launch": ["--workers", "2", "train", "chat.csv", "--out", "new"],
    "prepare": ["chat.csv", "--to", "new"],
    "promote": ["base", "1", "--texts", "texts.txt"],
    "sweep": ["chat.csv", "--out", "new"],
    "train": ["chat.csv", "--out", "new"],
}
REQUIRED = {("launch", "--workers")}  # it is among the arguments above: another one goes before them
VALUES: dict[type, tuple] = {int: (10**30, -(10**30), 10**4000), float: ("nan", "inf", "-inf", "1e999", "-1e39")}
HEADROOM = 6 << 30  # bytes that a refused number may let the process grow by: far below what they ask for


def numbers() -> Iterator[Any]:
    group = get_command(app)
    commands = {**group.commands}  # type: ignore[attr-defined]
    commands |= {f"bench {name}": command for name, command in commands.pop("bench").commands.items()}
    for name, command in commands.items():
        for option in command.params:
            kind = getattr(getattr(option, "type_descriptor", None), "annotation", None)
            if kind in VALUES and option.param_type_name == "option":
                for value in VALUES[kind]:
                    shown = str(value) if len(str(value)) < 40 else "4,000 digits"
                    yield pytest.param(name, option.opts[0], value, id=f"{name} {option.opts[0]} {shown}")


@pytest.fixture
def small() -> Iterator[None]:
    """Keeps this process from taking what a number asks for."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + HEADROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "option", "value"), numbers())
def test_number_that_cannot_be_is_refused_before_anything_is_done(
    refused: Callable,
    small: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    option: str,
    value: Any,
) -> None:
    (tmp_path / "chat.csv").write_text("fromUser.id,text\nmira,hi\n")
    (tmp_path / "texts.txt").write_text("oh my dears\n" * 20)
    monkeypatch.chdir(tmp_path)
    needed = ARGUMENTS[command]
    if (command, option) in REQUIRED:
        needed = needed[2:]
    message = refused(*command.split(), f"{option}={value}", *needed)
    assert option in message
    assert len(message) < 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat.csv", "texts.txt"]


CHECKPOINTS = ["nanm", "infm", "1e400m", "-1m", "1e39m", "-1", str(10**30), "m", "x", "5.5"]


@pytest.mark.parametrize("every", CHECKPOINTS)
def test_checkpoint_every_that_cannot_be_is_refused(
    refused: Callable, write_chat: Callable, tmp_path: Path, every: str
) -> None:
    message = refused("train", write_chat("mira,hi"), "--out", tmp_path / "run", f"--checkpoint-every={every}")
    assert message.startswith("--checkpoint-every must be ")


def test_numbers_are_found() -> None:
    names = {(case.values[0], case.values[1]) for case in numbers()}
    assert names >= {("train", "--units"), ("generate", "--temperature"), ("launch", "--workers")}


def test_every_setting_is_an_option_of_train_and_what_messages_spell_exists() -> None:
    group = get_command(app)
    options = {name: {o for each in c.params for o in each.opts} for name, c in group.commands.items()}  # type: ignore[attr-defined]
    assert {spelled(each.name) for each in settable(Config)} <= options["train"]
    assert set(_SPELLED.values()) <= set().union(*options.values())


@pytest.mark.parametrize(
    ("options", "lower"),
    [
        (["--units", 2**31 - 1], "--units or --layers"),
        (["--units", 60000, "--layers", 64], "--units or --layers"),
    ],
    ids=["units", "layers"],
)
def test_network_beyond_the_memory_is_refused_before_it_is_built(
    refused: Callable, small: None, sample_chat: str, tmp_path: Path, options: list[object], lower: str
) -> None:
    message = refused("train", sample_chat, "--out", tmp_path / "run", "--no-cache", *options)
    assert message.startswith("The network needs about ")
    assert message.endswith(f" are free: lower {lower}.")
    assert not (tmp_path / "run").exists()


def test_workers_beyond_the_memory_are_refused(refused: Callable, tmp_path: Path) -> None:
    message = refused("launch", "--workers", 10**9, "train", "chat.csv", "--out", tmp_path / "run")
    assert message.startswith("1,000,000,000 workers need about ")
    assert message.endswith(": lower --workers.")
