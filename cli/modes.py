"""Refuses options that another one leaves without a use, so that nothing that was typed is silently ignored.

A command says with `mode` which of its options that are; `command_line.Command` asks `check_modes` before it runs it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from charflow.cli.options import placed
from charflow.pipeline.errors import UserError
from charflow.sentences import listed

C = TypeVar("C", bound=Callable)


@dataclass(frozen=True)
class Mode:
    """What an option of a command does to others.

    Attributes:
        option: the parameter that it is.
        ignores: the parameters that it leaves without a use.
        given: whether it does so where it is given, or where it is not: of a flag that has an opposite, where that is.
    """

    option: str
    ignores: frozenset[str]
    given: bool


def mode(option: str, *, ignores: tuple[str, ...], given: bool = True) -> Callable[[C], C]:
    """Says of a command that an option, given or not, leaves others without a use.

    Args:
        option: the parameter.
        ignores: parameters; and tables, their settings, or the places of both (see `options.settings`).
        given: whether it does so where it is given, or where it is not.
    """

    def decorate(command: C) -> C:
        names = frozenset(ignores).union(*(placed(command, name) for name in ignores))
        command.__dict__["modes"] = (*modes_of(command), Mode(option, names, given))
        return command

    return decorate


def modes_of(command: Any) -> tuple[Mode, ...]:
    """What `mode` was told of a command."""
    return getattr(command, "modes", ())


def check_modes(context: Any) -> None:
    """Refuses what was typed and would be ignored.

    Raises:
        UserError: there is such an option.
    """
    parameters = {parameter.name: parameter for parameter in context.command.params}
    for each in modes_of(context.command.callback):
        option, value = parameters[each.option], context.params[each.option]
        opposite = None if each.given else next(iter(option.secondary_opts), None)
        if (value is not False) if opposite else (bool(value) is not each.given):
            continue
        unused = [
            _shown(parameter)
            for name, parameter in parameters.items()
            if name in each.ignores and context.get_parameter_source(name).name == "COMMANDLINE"
        ]
        if unused:
            verb, them = ("is", "it") if len(unused) == 1 else ("are", "them")
            where = f"with {opposite}" if opposite else f"{'with' if each.given else 'without'} {_shown(option)}"
            raise UserError(f"{listed(unused)} {verb} of no use {where}: leave {them} out.")


def _shown(parameter: Any) -> str:
    """What a user calls a parameter: its longest name, or the metavar of an argument."""
    return next((name for name in parameter.opts if name.startswith("--")), parameter.metavar or str(parameter.name))
