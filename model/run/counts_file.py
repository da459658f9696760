"""Counts in a file of NumPy's: of one run in its folder, of everybody in the cache.

`run_memory` and `everybodys_counts` write and read them, with what tells what they are of.
"""

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from charflow.model.memory.counting import Counts
from charflow.pipeline.files import replacing


def write_counts(path: Path, counts: Counts, **more: Any) -> None:
    """Writes counts, and more arrays beside them, in one step; raises UserError where the file cannot be written."""
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **{**counts._asdict(), **more})


def read_counts(path: Path, *more: str) -> tuple[Counts, list[np.ndarray]] | None:
    """Reads counts, and the arrays of these names beside them; None where the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Counts(*(stored[name] for name in Counts._fields)), [stored[name] for name in more]
    except (OSError, EOFError, ValueError, KeyError, NotImplementedError, BadZipFile, zlib.error):
        return None
