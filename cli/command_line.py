"""Checks what was typed, once, before any command sees it, and fits advice to the command.

`app.run` passes the words and the environment through `check_words` and `check_environment`; every command is a
`Command`, which refuses an empty text where it means nothing.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand

from charflow.cli.modes import check_modes
from charflow.cli.options import also_called, spelled
from charflow.pipeline.errors import UserError, not_utf8, reason

# The variables that are read here or in what charflow is built on, by how they begin.
_READ = ("CHARFLOW_", "TF_CONFIG", "SLURM", "XDG_CACHE_HOME", "HOME", "TMPDIR", "CUDA_VISIBLE_DEVICES")
_MAY_BE_EMPTY = ("prompt", "stop", "user", "drop_user")  # the start of a message, nothing, and the id of nobody
_SMALLER = ("--units", "--batch-size", "--window-length")  # what takes less memory
_ALIKE = 0.75  # of 1; at difflib's 0.6 --temprature is like --strategy


class Command(TyperCommand):
    """A command that refuses an empty text and an option without a use, and gives no advice that it has no option for.

    An unset variable of the shell leaves an empty text. As a path that would be the folder one stands in, and as an
    option often the same as none.
    """

    def invoke(self, ctx: Any) -> Any:
        options = {option for parameter in self.params for option in parameter.opts}
        try:
            check_modes(ctx)
            return super().invoke(ctx)
        except UserError as error:
            error.fit_to(lambda setting: spelled(setting) in options)
            raise
        except Exception as error:
            if type(error).__name__ not in ("ResourceExhaustedError", "MemoryError"):  # TensorFlow may not be loaded
                raise
            smaller = [option for option in _SMALLER if option in options]
            advice = f": lower {' or '.join([', '.join(smaller[:-1]), smaller[-1]])}" if len(smaller) > 1 else ""
            raise UserError(f"Out of memory ({reason(error)}){advice}.") from error

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # the shell completes a line that is still being typed
            given = self.make_parser(ctx).parse_args(args=list(args))[0]
            for parameter in self.params:
                value = given.get(parameter.name)
                empty = "" in value if isinstance(value, list | tuple) else value == ""
                if empty and parameter.name not in _MAY_BE_EMPTY:
                    raise UserError(
                        f"{_shown(parameter)} is empty, as an unset variable of the shell leaves it: give it a text."
                    )
        return super().parse_args(ctx, args)


def check_words(words: Sequence[str]) -> None:
    """Refuses words that are not text.

    Raises:
        UserError: one has bytes that are not in the encoding of the system (UTF-8 almost everywhere).
    """
    for word in words:
        if near := not_utf8(word):
            raise UserError(f"{near} is not UTF-8 text: type it in a UTF-8 terminal, or rename the file.")


def check_environment(environ: Mapping[str, str] = os.environ) -> None:
    """Refuses environment variables that are not text, of those that charflow reads.

    Raises:
        UserError: one has bytes that are not in the encoding of the system.
    """
    for name, value in environ.items():
        if name.startswith(_READ) and (near := not_utf8(f"{name}={value}")):
            raise UserError(f"The environment variable {near} is not UTF-8 text: set it anew.")


def usage_message(error: typer.TyperException) -> str:
    """Says what is wrong with the usage of the command line, and what was perhaps meant."""
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if option is None or context is None or not hasattr(error, "possibilities"):
        message = error.format_message().rstrip(".")
        return f"{message}{'' if message.endswith('?') else '.'} Try --help."
    return f"No such option: {option}.{_meant(option, context)} Try --help."


def _meant(option: str, context: Any) -> str:
    """Finds what an unknown option may stand for, here or in another command: by what it means, then by its letters."""
    for parameter in context.command.params:
        if parameter.param_type_name == "argument" and option == f"--{parameter.name}":
            return f" {parameter.metavar} is given without the name of an option."
    here, elsewhere = _names(context.command), dict(_commands(context.find_root().command))
    for find in (_same, _near):
        if meant := find(option, here):
            return f" Did you mean {meant}?"
        found = {name: find(option, _names(command)) for name, command in elsewhere.items()}
        if best := get_close_matches(option, [meant for meant in found.values() if meant], n=1, cutoff=0):
            owners = ", ".join(name for name, meant in found.items() if meant == best[0])
            return f" {best[0]} is an option of {owners}."
    return ""


def _same(option: str, names: Mapping[str, str]) -> str | None:
    return names.get(option)


def _near(option: str, names: Mapping[str, str]) -> str | None:
    near = [name for name in names if name.startswith(option)] or get_close_matches(option, names, n=1, cutoff=_ALIKE)
    return names[near[0]] if near else None


def _names(command: Any) -> dict[str, str]:
    """The options of a command by what they may be called: their names here, and those that `also_called` has."""
    spelt = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
    own = [name for name in spelt if name.startswith("--")] + ["--help"]
    return {**{other: name for name in own for other in also_called(name)}, **{name: name for name in own}}


def _commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    for child, below in getattr(command, "commands", {}).items():
        yield from _commands(below, f"{name} {child}".lstrip())
    if not hasattr(command, "commands"):
        yield name, command


def _shown(parameter: Any) -> str:
    option = next((name for name in parameter.opts if name.startswith("--")), "")
    return " ".join(filter(None, (option, parameter.metavar or ""))) or str(parameter.name)
