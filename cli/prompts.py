"""Reads the prompts of the commands that complete text."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

Prompts = Annotated[
    list[str] | None, typer.Argument(metavar="PROMPT", help="Texts to continue; - reads standard input.")
]


def read_prompts(arguments: list[str] | None, file: Path | None = None) -> list[str]:
    """Lists the prompts in order: the arguments, with `-` standing for the lines of standard input, then the file's.

    Nothing given at all is the empty prompt, which begins a message.

    Raises:
        UserError: one is not UTF-8, the file cannot be read, or what was named holds no prompt.
    """
    from charflow.pipeline.errors import UserError, reason

    def lines() -> Iterator[str]:
        for argument in arguments or []:
            if argument == "-":
                yield from sys.stdin.read().splitlines()
            else:
                argument.encode()  # what was not UTF-8 on the command line fails here
                yield argument
        if file:
            yield from file.read_text(encoding="utf-8-sig").splitlines()

    try:
        found = list(lines())
    except UnicodeError as error:
        raise UserError(f"The prompts cannot be read as UTF-8 text: {error}.") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read: {reason(error)}.") from error
    if not found and not arguments and not file:
        return [""]
    if not found:
        raise UserError("No prompt was found: the input is empty.")
    return found
