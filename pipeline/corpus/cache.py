"""Keeps encoded corpora on disk, so that a second run over the same files starts at once.

`corpus` asks it before reading. An entry is a folder named by a hash of the files (path, size, modification time)
and the settings; it is written beside and renamed, so half an entry never counts.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.files import VOCABULARY
from charflow.pipeline.formats.inputs import find_inputs
from charflow.pipeline.settings import Paths, checked
from charflow.pipeline.vocabulary import Vocabulary
from charflow.sentences import Sentence

FACTS = frozenset({"split", "rows", "dropped", "messages", "held_out_messages", "noticed", "people"})
_IDS, _FACTS = "ids.npy", "facts.json"
_FORMAT = 3  # raise it when what `corpus` computes from the same input changes


class CorpusCache:
    """A folder of encoded corpora; by default `charflow` in the user's cache folder (XDG_CACHE_HOME)."""

    @checked
    def __init__(self, folder: str | Path | None = None) -> None:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.folder = Path(folder or base / "charflow")

    def key(self, paths: Paths, settings: str) -> str:
        """Hashes the files' names, sizes and times, and the settings.

        Raises:
            UserError: a file is missing.
        """
        digest = hashlib.sha256(f"{_FORMAT}\n{settings}".encode())
        for file in find_inputs(paths):
            digest.update(json.dumps(file.identity(), sort_keys=True).encode())
        return digest.hexdigest()[:32]

    def load(self, key: str) -> tuple[np.ndarray, Vocabulary, dict[str, Any]] | None:
        """Opens an entry: ids (memory-mapped), vocabulary and facts; None where there is none or it is damaged."""
        entry = self.folder / key
        try:
            ids = np.load(entry / _IDS, mmap_mode="r")
            facts = json.loads((entry / _FACTS).read_text())
            if not isinstance(facts, dict) or set(facts) != FACTS:
                return None
            return ids, Vocabulary.load(entry / VOCABULARY), facts
        except (OSError, ValueError, EOFError):  # a UserError of the vocabulary is a ValueError too
            return None

    def store(self, key: str, ids: np.ndarray, vocabulary: Vocabulary, facts: dict[str, Any]) -> None:
        """Writes an entry in one step.

        Raises:
            UserError: the folder cannot be written, or the disk is full.
        """
        entry = self.folder / key
        beside = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=self.folder))
            np.save(beside / _IDS, ids)
            vocabulary.save(beside / VOCABULARY)
            (beside / _FACTS).write_text(json.dumps(facts))
            shutil.rmtree(entry, ignore_errors=True)  # a damaged one, or none
            beside.rename(entry)
        except OSError as error:
            if beside:
                shutil.rmtree(beside, ignore_errors=True)
            if entry.exists():  # another run stored the same corpus meanwhile
                return
            raise _unwritable(self.folder, error) from error


@contextmanager
def alone(entry: Path) -> Iterator[None]:
    """Makes something in the cache alone: another process that wants the same one waits until it is there.

    Raises:
        UserError: its folder cannot be written.
    """
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        lock = entry.with_suffix(".lock").open("w")
    except OSError as error:
        raise _unwritable(entry.parent, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"The corpus cache {folder} cannot be written ({reason(error)}): free some room.",
        advice=Sentence("Or name another folder with {cache}, or pass {uncached}.", uncached={"cache": None}),
    )
