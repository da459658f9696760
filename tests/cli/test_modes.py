"""Options that another one leaves without a use: every command refuses them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.main import get_command

from charflow.cli.app import app
from charflow.cli.modes import Mode, modes_of


def cases() -> Iterator[Any]:
    """Every option that a mode of a command ignores."""
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        for each in modes_of(command.callback):
            for parameter in command.params:
                if parameter.name in each.ignores:
                    yield pytest.param(command, each, parameter, id=f"{name} {each.option} {parameter.name}")


def words(parameter: Any) -> list[str]:
    """What may be typed to give a parameter a value."""
    value = getattr(getattr(parameter, "type", None), "choices", ["7"])[0]
    if parameter.param_type_name == "argument":
        return [value]
    return [parameter.opts[0]] if parameter.is_flag else [parameter.opts[0], value]


def called(parameter: Any) -> str:
    """What a message calls a parameter."""
    return parameter.metavar if parameter.param_type_name == "argument" else parameter.opts[0]


@pytest.mark.parametrize(("command", "found", "ignored"), cases())
def test_what_a_mode_ignores_is_refused(refused: Callable, command: Any, found: Mode, ignored: Any) -> None:
    option = next(each for each in command.params if each.name == found.option)
    typed = [each for each in command.params if each.required or each is ignored or (found.given and each is option)]
    opposite = [] if found.given else option.secondary_opts
    line = [word for each in typed for word in words(each)] + opposite
    where = f"with {opposite[0]}" if opposite else f"{'with' if found.given else 'without'} {called(option)}"
    assert refused(command.name, *line) == f"{called(ignored)} is of no use {where}: leave it out."


def test_several_options_without_a_use_are_named_together(refused: Callable) -> None:
    assert refused("export", "run", "--check", "models/1", "--length", "5", "--top-k", "2") == (
        "RUN, --length and --top-k are of no use with --check: leave them out."
    )


def test_an_option_of_two_ways_that_is_left_out_leaves_the_others_their_use(refused: Callable) -> None:
    typed = ["complete", "hi", "--max-messages", "3", "--server", "127.0.0.1:1"]
    assert "of no use" not in refused(*typed)
    assert refused(*typed, "--no-stop-at-end") == "--max-messages is of no use with --no-stop-at-end: leave it out."
