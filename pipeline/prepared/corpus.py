"""Reads a prepared folder: a corpus in numbered shards on disk, of which any stretch can be read alone.

`writing` wrote it; `streaming` trains from it without ever holding more than a buffer, `load` and `load_part` turn it
into a `Corpus` in memory. N is the number of characters; a shard holds S of them, the last one the rest.
"""

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.facts import facts_of
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError, counted
from charflow.pipeline.files import MANIFEST, PROGRESS, VOCABULARY, is_prepared
from charflow.pipeline.formats.long_messages import Noticed
from charflow.pipeline.prepared.manifest import Manifest, Shard, sha256_of
from charflow.pipeline.read_only import is_learned
from charflow.pipeline.settings import Count, Natural, Paths, Total, checked
from charflow.pipeline.tables import override
from charflow.pipeline.vocabulary import Vocabulary
from charflow.pipeline.windows import count_windows

_MEND = "run the same charflow prepare again, it writes anew what is missing or changed"

_AT_ONCE = 1 << 20  # ids


class PreparedCorpus:
    """An encoded text on disk; its properties are those of the `Corpus` of the same files and settings.

    A shard's SHA-256 is checked when the first of its characters is read, once in the life of the object.

    >>> prepared = PreparedCorpus.open("corpus")  # doctest: +SKIP
    >>> prepared.vocabulary.decode(prepared.read(0, 9))  # doctest: +SKIP
    'oh my dea'

    Attributes:
        folder: where it stands.
        manifest: the table of the folder.
        vocabulary: the characters of the ids.
    """

    def __init__(self, folder: Path, manifest: Manifest, vocabulary: Vocabulary) -> None:
        self.folder, self.manifest, self.vocabulary = folder, manifest, vocabulary
        self._checked: set[int] = set()
        self._checking = threading.Lock()
        self._damage: UserError | None = None

    @classmethod
    @checked
    def open(cls, folder: str | Path) -> "PreparedCorpus":
        """Opens a prepared folder; reads its table and vocabulary, and looks at the size of each shard.

        Raises:
            UserError: the folder is not prepared, or not to the end, or a file in it is missing, cut or changed.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            if (folder / PROGRESS).is_file():
                raise UserError(f"{folder} is not prepared to its end: run the same charflow prepare again to go on.")
            raise UserError(f"{folder} is no prepared corpus: make one with charflow prepare DATA --to {folder}.")
        manifest = Manifest.load(folder / MANIFEST)
        if not (folder / VOCABULARY).is_file():
            raise UserError(f"{folder / VOCABULARY} is missing: {_MEND}.")
        if sha256_of(folder / VOCABULARY) != manifest.vocabulary_sha256:
            raise UserError(f"{folder / VOCABULARY} has changed since it was prepared: {_MEND}.")
        prepared = cls(folder, manifest, Vocabulary.load(folder / VOCABULARY))
        prepared.check_sizes()
        return prepared

    @classmethod
    @checked
    def among(cls, data: Paths) -> "PreparedCorpus | None":
        """Opens what a command was given, if that is a prepared folder; None where it is files of messages."""
        paths = [os.fspath(path) for path in ([data] if isinstance(data, str | os.PathLike) else data)]
        return cls.open(paths[0]) if len(paths) == 1 and is_prepared(paths[0]) else None

    @property
    def settings(self) -> CorpusSettings:
        """The settings it was prepared with, the ids of users in the place of their names."""
        return override(CorpusSettings(), {**self.manifest.origin.settings, **self.manifest.users})

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The files of ids, in order."""
        return self.manifest.shards

    @property
    def dtype(self) -> np.dtype:
        """Of the ids in memory; on disk they are little-endian."""
        return np.dtype(self.manifest.dtype)

    @property
    def characters(self) -> int:
        """N."""
        return self.manifest.characters

    @property
    def split(self) -> int:
        """Ids before this index are for training; the rest is held out."""
        return self.manifest.split or 0

    @property
    def rows(self) -> int:
        """Rows read, bad ones included."""
        return self.manifest.rows

    @property
    def dropped(self) -> dict[str, int]:
        """Number of rows left out, by reason."""
        return self.manifest.dropped

    @property
    def messages(self) -> int:
        """Messages in the text."""
        return self.manifest.messages

    @property
    def held_out_messages(self) -> int:
        """Messages in the tail."""
        return self.manifest.held_out_messages

    @property
    def fingerprint(self) -> str:
        """That of the `Corpus`."""
        return self.manifest.fingerprint or ""

    @property
    def noticed(self) -> Noticed:
        """That of the `Corpus`."""
        return Noticed.from_table(self.manifest.noticed)

    def facts(self) -> dict[str, Any]:
        """Sums the corpus up, as `Corpus.facts` does."""
        return facts_of(self)

    @checked
    def read(self, start: Total, stop: Total) -> np.ndarray:
        """Reads the ids from `start` to before `stop`, [stop - start]; nothing else is held in memory.

        Raises:
            UserError: a shard is missing, cut or changed.
            ValueError: the range is not inside the text.
        """
        if not 0 <= start <= stop <= self.characters:
            raise ValueError(f"The text has {self.characters:,} characters: no range from {start:,} to {stop:,}.")
        ids, size = np.empty(stop - start, self._disk_dtype), self.manifest.origin.shard_characters
        for index in self.shards_of(start, stop):
            self.check_shard(index)
            first, last = max(start, index * size), min(stop, (index + 1) * size)
            with self.path(index).open("rb") as file:
                file.seek((first - index * size) * ids.itemsize)
                file.readinto(ids[first - start : last - start].data)
        return ids.astype(self.dtype, copy=False)

    @property
    def held_out_ids(self) -> np.ndarray:
        """The tail that is never trained on, [N - split], read into memory anew each time."""
        return self.read(self.split, self.characters)

    @property
    def held_out_characters(self) -> int:
        """How many the tail has."""
        return self.characters - self.split

    @checked
    def count_learned(self, start: Total, stop: Total) -> int:
        """Counts the characters from `start` to before `stop` that are not only read; one piece at a time is read.

        Raises:
            UserError: a shard is missing, cut or changed.
        """
        if not self.vocabulary.replies:
            return stop - start
        pieces = (self.read(first, min(first + _AT_ONCE, stop)) for first in range(start, stop, _AT_ONCE))
        return sum(int(np.count_nonzero(is_learned(ids, self.vocabulary.size))) for ids in pieces)

    @checked
    def held_out_start(self, most: Total) -> np.ndarray:
        """The first `most` ids of the tail, or all where it has fewer."""
        return self.read(self.split, min(self.split + most, self.characters))

    @checked
    def train_end(self, most: Total) -> np.ndarray:
        """The last `most` training ids: what an evaluation of the tail begins with."""
        return self.read(max(0, self.split - most), self.split)

    def load(self) -> Corpus:
        """Reads everything into memory."""
        return self._corpus(self.read(0, self.characters), self.split)

    @checked
    def load_part(self, index: Natural, count: Count, *, length: Count, shift: Count) -> Corpus:
        """Reads what worker `index` of `count` trains on, and the whole held-out tail.

        Every worker gets as many windows of `length` characters every `shift` as any other, the neighbours of each
        other; at most `count - 1` windows at the end of the training text are nobody's. The part's facts and
        fingerprint are those of the whole.

        Raises:
            UserError: there is no such worker, or there are fewer windows than workers.
        """
        if not 0 <= index < count:
            raise UserError(f"There is no part {index} of {count}: parts are counted from 0.")
        each = count_windows(self.split, length=length, shift=shift) // count
        if not each:
            raise UserError(f"{self.folder} has too few windows for {count} workers: let fewer train, or more text.")
        start = index * each * shift
        train = self.read(start, start + (each - 1) * shift + length + 1)
        return self._corpus(np.concatenate([train, self.held_out_ids]), len(train))

    def _corpus(self, ids: np.ndarray, split: int) -> Corpus:
        return _PreparedPart(
            ids=ids,
            split=split,
            vocabulary=self.vocabulary,
            rows=self.rows,
            dropped=self.dropped,
            messages=self.messages,
            held_out_messages=self.held_out_messages,
            noticed=self.noticed,
            settings=self.settings,
            whole=self,
        )

    def check(self) -> None:
        """Checks every shard that was not read before.

        Raises:
            UserError: the first one that is missing, cut or changed.
        """
        for index in range(len(self.shards)):
            self.check_shard(index)

    def check_shard(self, index: int) -> None:
        """Checks the SHA-256 of one shard, once.

        Raises:
            UserError: it is missing, cut or changed.
        """
        with self._checking:
            if index in self._checked:
                return
            try:
                self._check_size(index)
                if sha256_of(self.path(index)) != self.shards[index].sha256:
                    raise UserError(
                        f"{self.path(index)} has changed since it was prepared (its SHA-256 is another): {_MEND}."
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
        for index in range(len(self.shards)):
            self._check_size(index)

    def raise_damage(self) -> None:
        """Raises what a reader in another thread found wrong with a shard, if anything."""
        if self._damage:
            raise self._damage
        self.check_sizes()

    def path(self, index: int) -> Path:
        """Where a shard stands."""
        return self.folder / self.shards[index].name

    def shards_of(self, start: int, stop: int) -> range:
        """The shards that hold the ids from `start` to before `stop`."""
        size = self.manifest.origin.shard_characters
        return range(start // size, -(-stop // size)) if stop > start else range(0)

    @property
    def _disk_dtype(self) -> np.dtype:
        return self.dtype.newbyteorder("<")

    def _check_size(self, index: int) -> None:
        path, expected = self.path(index), self.shards[index].characters * self.dtype.itemsize
        if not path.is_file():
            raise UserError(f"{path} is missing: {_MEND}.")
        if (found := path.stat().st_size) != expected:
            raise UserError(f"{path} has {counted(found, 'byte')} and not the {expected:,} of its manifest: {_MEND}.")


@dataclass(frozen=True)
class _PreparedPart(Corpus):
    """A corpus that was read from a prepared one, in whole or in part."""

    whole: PreparedCorpus

    @checked
    def train_end(self, most: Total) -> np.ndarray:
        return self.whole.train_end(most)  # the part's own end is not what the tail continues

    @property
    def fingerprint(self) -> str:
        return self.whole.fingerprint

    def facts(self) -> dict[str, Any]:
        return self.whole.facts()
