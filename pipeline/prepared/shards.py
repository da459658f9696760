"""Reads the shards of a prepared folder, and never one that is not what was written.

`corpus` reads stretches of text through it, `streaming` asks it before TensorFlow reads the files itself. A shard holds
the ids of S characters, little-endian, the last one the rest.
"""

import threading
from pathlib import Path

import numpy as np

from charflow.pipeline.errors import UserError, counted
from charflow.pipeline.prepared.manifest import Manifest, sha256_of

MEND = "run the same charflow prepare again, it writes anew what is missing or changed"


class ShardFiles:
    """The files of ids in a folder, by their number.

    A shard's SHA-256 is checked when the first of its characters is read, once in the life of the object.

    Args:
        folder: where they stand.
        manifest: the table of the folder.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder, self._shards = folder, manifest.shards
        self._size, self._dtype = manifest.origin.shard_characters, np.dtype(manifest.dtype)
        self._checked: set[int] = set()
        self._checking = threading.Lock()
        self._damage: UserError | None = None

    def path(self, index: int) -> Path:
        """Where a shard stands."""
        return self._folder / self._shards[index].name

    def holding(self, start: int, stop: int) -> range:
        """The shards that hold the ids from `start` to before `stop`."""
        return range(start // self._size, -(-stop // self._size)) if stop > start else range(0)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Reads the ids from `start` to before `stop`, which are in the text: [stop - start].

        Raises:
            UserError: a shard is missing, cut or changed.
        """
        ids, size = np.empty(stop - start, self._dtype.newbyteorder("<")), self._size
        for index in self.holding(start, stop):
            self.check(index)
            first, last = max(start, index * size), min(stop, (index + 1) * size)
            with self.path(index).open("rb") as file:
                file.seek((first - index * size) * ids.itemsize)
                file.readinto(ids[first - start : last - start].data)
        return ids.astype(self._dtype, copy=False)

    def check(self, index: int) -> None:
        """Checks the SHA-256 of one shard, once.

        Raises:
            UserError: it is missing, cut or changed.
        """
        with self._checking:
            if index in self._checked:
                return
            try:
                self._check_size(index)
                if sha256_of(self.path(index)) != self._shards[index].sha256:
                    raise UserError(
                        f"{self.path(index)} has changed since it was prepared (its SHA-256 is another): {MEND}."
                    )
            except UserError as damage:
                self._damage = damage
                raise
            self._checked.add(index)

    def check_sizes(self) -> None:
        """Looks whether every shard is there in full.

        Raises:
            UserError: the first one that is missing or cut.
        """
        for index in range(len(self._shards)):
            self._check_size(index)

    def raise_damage(self) -> None:
        """Raises what a reader in another thread found wrong with a shard, if anything."""
        if self._damage:
            raise self._damage
        self.check_sizes()

    def _check_size(self, index: int) -> None:
        path, expected = self.path(index), self._shards[index].characters * self._dtype.itemsize
        if not path.is_file():
            raise UserError(f"{path} is missing: {MEND}.")
        if (found := path.stat().st_size) != expected:
            raise UserError(f"{path} has {counted(found, 'byte')} and not the {expected:,} of its manifest: {MEND}.")
