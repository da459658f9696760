"""Writes a file whole or not at all; below every package, because the pipeline and the serving side both write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and renames it over `path` when all went well.

    >>> with replacing(Path("figures.txt")) as beside:  # doctest: +SKIP
    ...     beside.write_text("done")

    Raises:
        OSError: the file cannot be written, or the disk is full; `path` is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
