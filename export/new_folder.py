"""Fills a folder that a user named with files that belong together: all of them, or nothing.

`litert` and `hub` write so; versions of a SavedModel are published by `publish`.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.places import check_new_folder


@contextmanager
def filled(folder: Path, content: str) -> Iterator[Path]:
    """Gives a folder to write in, whose files are moved to the named one when all are written.

    Args:
        folder: new or empty.
        content: what is to be in it, such as "the LiteRT model".

    Raises:
        UserError: the folder holds something, or a file could not be written; then nothing is left behind.
    """
    check_new_folder(folder, content)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    beside = folder / f".{os.getpid()}"  # inside, as the folder may be where another file system begins
    try:
        beside.mkdir(parents=True)
        yield beside
        for child in beside.iterdir():
            child.rename(folder / child.name)
        beside.rmdir()
    except BaseException as error:
        _clear(folder, made)
        if not isinstance(error, OSError):
            raise
        what = content[0].upper() + content[1:]
        raise UserError(f"{what} could not be written to {folder}: {reason(error)}.") from error


def _clear(folder: Path, made: list[Path]) -> None:
    """Removes what was written into a folder that was empty, and the folders that were made for it."""
    with suppress(OSError):
        for child in folder.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()
    for place in made:
        with suppress(OSError):
            place.rmdir()
