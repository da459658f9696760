"""Refuses a place that cannot be written to, before the work for it begins.

Whatever writes a folder or a file that a user named asks here first; `atomic` then writes.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from charflow.pipeline.errors import UserError


def check_folder(path: Path, content: str) -> None:
    """Lets a folder pass, and a path where one can be made.

    Args:
        path: of the folder, which need not be there.
        content: what is to be in it, such as "the run".

    Raises:
        UserError: it, or what it is to be in, is a file or a link that points to nothing.
    """
    for place in (path, *path.parents):
        if place.is_dir():
            return
        if problem := _problem(place):
            raise UserError(f"{problem}: name a folder for {content}.")


def check_new_folder(path: Path, content: str, *, own: Collection[str] = ()) -> None:
    """Lets a path pass where a folder can be made, and a folder with nothing in it.

    Args:
        path: of the folder.
        content: what is to be in it, such as "the run".
        own: names of what may be in it all the same.

    Raises:
        UserError: it is or is in no folder, or something is in it.
    """
    check_folder(path, content)
    if path.exists() and any(child.name not in own for child in path.iterdir()):
        raise UserError(f"{path} holds other files: name a new or empty folder for {content}.")


def check_file(path: Path, content: str, endings: Sequence[str]) -> None:
    """Lets a file pass that can be made or replaced.

    Args:
        path: of the file, which need not be there.
        content: what is to be in it, such as "the chart".
        endings: of the names that such a file can have.

    Raises:
        UserError: its name ends otherwise, it is a folder, or it is to be in what is none.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file for {content}, which ends in {' or '.join(endings)}.")
    if path.suffix.lower() not in endings:
        raise UserError(f"{path} has {_ending(path)}: name a file for {content} that ends in {' or '.join(endings)}.")
    if not path.parent.is_dir():
        problem = _problem(path.parent) or f"{path.parent} is not a folder"
        raise UserError(f"{problem}: name a file for {content} in a folder that there is.")


def dangling(path: str | Path) -> str | None:
    """Says where a symbolic link points to when there is nothing; None for whatever else."""
    link = Path(path)
    if not link.is_symlink() or link.exists():
        return None
    return f"{path} is a link that points to nothing ({link.readlink()})"


def _problem(place: Path) -> str | None:
    if place.exists():
        return None if place.is_dir() else f"{place} is a file"
    return dangling(place)


def _ending(path: Path) -> str:
    return f"the ending {path.suffix}" if path.suffix else "no ending"
