"""Reads the prompts of the commands that complete text."""

import io
import os
import select
import stat
import sys
from pathlib import Path
from typing import Annotated

import typer

from charflow.cli.lines import read_input_lines, read_lines
from charflow.cli.terminal import console
from charflow.pipeline.errors import UserError

Prompts = Annotated[
    list[str] | None,
    typer.Argument(metavar="PROMPT", help="Texts to continue; - reads standard input; none reads what is piped in."),
]

_PATIENCE = 1.0  # seconds until the user is told what is waited for


def read_prompts(arguments: list[str] | None, file: Path | None = None) -> list[str]:
    """Lists the prompts in order: the arguments, with `-` standing for the lines of standard input, then the file's.

    Without any, the lines of standard input where it is a pipe or a file. Nothing at all is the empty prompt, which
    begins a message: at a terminal, with </dev/null, and for programs that leave an empty pipe.

    Raises:
        UserError: one is not UTF-8, the file cannot be read, or what was named holds no prompt.
    """
    found: list[str] = []
    for argument in arguments or []:
        found += read_input_lines() if argument == "-" else [argument]
    if not arguments and not file and _is_fed():
        found += _read_patiently()
    if file:
        found += read_lines(file)
    if not found and not arguments and not file:
        return [""]
    if not found:
        raise UserError("No prompt was found: the input is empty.")
    return found


def heading(index: int, n_prompts: int, *, seed: int) -> str:
    """Writes the line that goes before a text where there are several: which it is, and the seed that gives it alone.

    >>> heading(1, 3, seed=7)
    '--- prompt 2 of 3, seed 7 ---'
    """
    prompt = f"prompt {index + 1} of {n_prompts}, " if n_prompts > 1 else ""
    return f"--- {prompt}seed {seed} ---"


def _is_fed() -> bool:
    """Tells whether standard input is a pipe, a file or a socket: neither a terminal, nor a device, nor closed."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError, io.UnsupportedOperation):  # closed, or replaced by a test
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _read_patiently() -> list[str]:
    """Reads standard input, and says so where nothing comes: its other end may never be closed."""
    if not select.select([sys.stdin], [], [], _PATIENCE)[0]:
        console.say("waiting for prompts on standard input; pass one as an argument to go on.")
    return read_input_lines()
