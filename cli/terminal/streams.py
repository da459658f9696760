"""Makes the standard streams fit for any text, before anything is read or written.

`charflow.cli.main` calls it first; `console` writes to the streams then.
"""

import codecs
import os
import sys
from typing import TextIO

_PLAIN = str.maketrans({"…": "...", "–": "-", "±": "+-", "“": '"', "”": '"', "‘": "'", "’": "'", "×": "x", "·": "*"})


def open_streams() -> None:
    """Opens the streams that were closed, and lets them take every character.

    Without a stream (`>&-`) the next file that is opened would take its number, and what a library prints would be
    written into that file. Where an encoding has no place for a character its number is written, and plain signs for
    typographic ones.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for name in ("COLUMNS", "LINES"):
        if not os.environ.get(name, "").isascii():  # rich takes every sign that Unicode calls a digit for one
            del os.environ[name]
    codecs.register_error("charflow", _in_its_place)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="charflow")  # type: ignore[union-attr]


def is_unicode(stream: TextIO) -> bool:
    """Whether a stream's encoding has every character."""
    return codecs.lookup(stream.encoding or "utf-8").name.startswith("utf")


def _in_its_place(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode(), error.end
