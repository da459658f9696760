"""Writes a file whole or not at all, and knows the files that several rooms look for.

What charflow writes for people and later runs goes through here: pictures, settings, metrics.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from charflow.pipeline.errors import UserError, reason

MANIFEST, PROGRESS = "manifest.json", "progress.json"  # of a prepared folder, finished and not


def is_prepared(folder: str | Path) -> bool:
    """Says whether a folder was written by `charflow prepare`, finished or not."""
    return any((Path(folder) / name).is_file() for name in (MANIFEST, PROGRESS))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and renames it over `path` when all went well.

    >>> with replacing(Path("figures.txt")) as beside:  # doctest: +SKIP
    ...     beside.write_text("done")

    Raises:
        UserError: the file cannot be written, or the disk is full; `path` is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {reason(error)}.") from error
    finally:
        beside.unlink(missing_ok=True)
