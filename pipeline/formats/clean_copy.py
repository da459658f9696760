"""Writes messages that were read slowly, in Python, into a scratch file that CsvDataset reads fast.

`csv_repair` does so with the good rows of a broken CSV file, `messages` with whatever a chat format yields; from then
on both are CSV files like any other.
"""

import csv
from pathlib import Path

from charflow.pipeline.formats.csv_source import CsvSource
from charflow.pipeline.formats.inputs import InputFile


class CleanCopy:
    """A new file of two columns, user and text, fully quoted; a context manager.

    Args:
        name: what the user calls the file that is copied.
        path: of the new one.
    """

    def __init__(self, name: str, path: Path) -> None:
        # Half of a surrogate pair, which JSON can hold and UTF-8 cannot, becomes a question mark.
        self._file = path.open("w", encoding="utf-8", errors="replace", newline="")
        self._writer = csv.writer(self._file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        self.source = CsvSource(
            file=InputFile(str(path), name),
            delimiter=",",
            header=False,
            names=("user", "text"),
            user_index=0,
            text_index=1,
            plain=True,
        )

    def __enter__(self) -> "CleanCopy":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, user: str, text: str) -> None:
        """Adds a message."""
        self._writer.writerow((user, text))
