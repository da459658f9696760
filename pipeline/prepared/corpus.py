"""A prepared folder as a corpus: its facts, and its text in `shards` on disk, of which any stretch can be read alone.

`writing` wrote it; `streaming` trains from it without ever holding more than a buffer, `load` and `load_part` turn it
into a `Corpus` in memory. N is the number of characters.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.facts import facts_of
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.files import MANIFEST, PROGRESS, VOCABULARY, is_prepared
from charflow.pipeline.formats.long_messages import Noticed
from charflow.pipeline.prepared.manifest import Manifest, Shard, sha256_of
from charflow.pipeline.prepared.shards import MEND, ShardFiles
from charflow.pipeline.read_only import Ids, is_learned
from charflow.pipeline.settings import Count, Natural, Paths, Total, checked
from charflow.pipeline.tables import override
from charflow.pipeline.vocabulary import Vocabulary
from charflow.pipeline.windows import count_windows

_AT_ONCE = 1 << 20  # ids


class PreparedCorpus:
    """An encoded text on disk; its properties are those of the `Corpus` of the same files and settings.

    >>> prepared = PreparedCorpus.open("corpus")  # doctest: +SKIP
    >>> prepared.vocabulary.decode(prepared.read(0, 9))  # doctest: +SKIP
    'oh my dea'

    Attributes:
        folder: where it stands.
        manifest: the table of the folder.
        vocabulary: the characters of the ids.
        files: its shards.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, vocabulary: Vocabulary, table: np.ndarray | None = None
    ) -> None:
        self.folder, self.manifest, self.vocabulary, self._table = folder, manifest, vocabulary, table
        self.files = ShardFiles(folder, manifest)

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
            raise UserError(f"{folder / VOCABULARY} is missing: {MEND}.")
        if sha256_of(folder / VOCABULARY) != manifest.vocabulary_sha256:
            raise UserError(f"{folder / VOCABULARY} has changed since it was prepared: {MEND}.")
        prepared = cls(folder, manifest, Vocabulary.load(folder / VOCABULARY))
        prepared.files.check_sizes()
        return prepared

    @classmethod
    @checked
    def among(cls, data: Paths) -> "PreparedCorpus | None":
        """Opens what a command was given, if that is a prepared folder; None where it is files of messages."""
        paths = [os.fspath(path) for path in ([data] if isinstance(data, str | os.PathLike) else data)]
        return cls.open(paths[0]) if len(paths) == 1 and is_prepared(paths[0]) else None

    def read_in(self, vocabulary: Vocabulary) -> "PreparedCorpus":
        """The same text in another vocabulary; its fingerprint stays that of the folder."""
        return PreparedCorpus(self.folder, self.manifest, vocabulary, vocabulary.ids_from(self.vocabulary))

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
        """Of the ids on disk, where they are little-endian."""
        return np.dtype(self.manifest.dtype)

    def in_vocabulary(self, ids: Ids) -> Ids:
        """Turns ids as they are on disk, an array or a tensor of any shape, into those of `vocabulary`."""
        if self._table is None:
            return ids
        return tf.gather(self._table, tf.cast(ids, tf.int32)) if tf.is_tensor(ids) else self._table[ids]

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
        return self.in_vocabulary(self.files.read(start, stop))

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
            self.files.check(index)


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
