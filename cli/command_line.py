"""Checks what was typed, once, before any command sees it, and fits advice to the command.

`app.run` passes the words and the environment through `check_words` and `check_environment`; every command is a
`Command`, which refuses an empty text where it means nothing.
"""

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand

from charflow.pipeline.errors import UserError, not_utf8, reason

# The variables that are read here or in what charflow is built on, by how they begin.
_READ = ("CHARFLOW_", "TF_CONFIG", "SLURM", "XDG_CACHE_HOME", "HOME", "TMPDIR", "CUDA_VISIBLE_DEVICES")
_MAY_BE_EMPTY = ("prompt", "stop", "user", "drop_user")  # the start of a message, nothing, and the id of nobody
_SMALLER = ("--units", "--batch-size", "--window-length")  # what takes less memory
_ALIKE = 0.75  # of 1; at difflib's 0.6 --temprature is like --strategy


class Command(TyperCommand):
    """A command that refuses an empty text, and gives no advice that it has no option for.

    An unset variable of the shell leaves an empty text. As a path that would be the folder one stands in, and as an
    option often the same as none.
    """

    def invoke(self, ctx: Any) -> Any:
        options = {option for parameter in self.params for option in parameter.opts}
        try:
            return super().invoke(ctx)
        except UserError as error:
            error.fit_to(options)
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
    if near := get_close_matches(option, _options(context.command), n=1, cutoff=_ALIKE):
        return f"No such option: {option}. Did you mean {near[0]}? Try --help."
    group = context.find_root().command
    elsewhere = {
        name: get_close_matches(option, _options(command), n=1, cutoff=_ALIKE)
        for name, command in getattr(group, "commands", {}).items()
    }
    best = get_close_matches(option, [near[0] for near in elsewhere.values() if near], n=1)
    if not best:
        return f"No such option: {option}. Try --help."
    owners = ", ".join(name for name, near in elsewhere.items() if near == best)
    return f"No such option: {option}. {best[0]} is an option of {owners}. Try --help."


def _options(command: Any) -> list[str]:
    return [name for parameter in command.params for name in parameter.opts if name.startswith("--")] + ["--help"]


def _shown(parameter: Any) -> str:
    option = next((name for name in parameter.opts if name.startswith("--")), "")
    return " ".join(filter(None, (option, parameter.metavar or ""))) or str(parameter.name)
