"""Writes a file whole or not at all, and knows the files that several rooms look for.

What charflow writes for people and later runs goes through here: pictures, settings, metrics.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from charflow import atomic
from charflow.pipeline.errors import UserError, reason

VOCABULARY = "vocabulary.txt"  # of a run, a prepared folder, a cached corpus, a SavedModel
SETTINGS = "config.toml"  # of a run
STANDARD_INPUT = "-"  # in the place of a file
MANIFEST, PROGRESS = "manifest.json", "progress.json"  # of a prepared folder, finished and not


def is_prepared(folder: str | Path) -> bool:
    """Says whether a folder was written by `charflow prepare`, finished or not."""
    return any((Path(folder) / name).is_file() for name in (MANIFEST, PROGRESS))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """As `charflow.atomic.replacing`, with the error that users are told.

    Raises:
        UserError: the file cannot be written, or the disk is full; `path` is as it was.
    """
    try:
        with atomic.replacing(path) as beside:
            yield beside
    except OSError as error:
        raise UserError(f"{path} cannot be written: {reason(error)}.") from error
