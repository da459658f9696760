"""Kept messages as bytes, joined a batch at a time: what is counted, held out and encoded, in memory or on disk.

`kept_texts` gives the messages as strings of TensorFlow, of which each takes more than its bytes; `corpus` and
`prepared.writing` keep them like this until the vocabulary is known, so that the chat is read once. K is the number of
messages in a batch, B that of bytes.
"""

import codecs
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import tensorflow as tf

from charflow.pipeline.code_points import count_points, points_of
from charflow.pipeline.corpus.kept_texts import separator
from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.read_only import ReadOnlyMarker

if TYPE_CHECKING:
    from charflow.pipeline.text_settings import TextSettings

_BYTES_AT_ONCE = 1 << 20


class JoinedTexts(NamedTuple):
    """Messages of a batch, each with what separates it from the next.

    Attributes:
        whose: numbers of the writers, as `held_out.people` gives them, int64 [K].
        lengths: bytes of each, its separator included, int64 [K].
        text: all of them, UTF-8, uint8 [B].
    """

    whose: np.ndarray
    lengths: np.ndarray
    text: np.ndarray

    @classmethod
    def of(cls, texts: tf.Tensor, whose: tf.Tensor, settings: "TextSettings") -> Self:
        """Joins a batch of `kept_texts`: texts, string [K], and whose they are, int64 [K]."""
        after = separator(settings).encode()
        joined = tf.strings.reduce_join(texts, separator=after).numpy() + (after if len(texts) else b"")
        lengths = tf.strings.length(texts).numpy().astype(np.int64) + len(after)
        return cls(whose.numpy(), lengths, np.frombuffer(joined, np.uint8))

    def first(self, n_texts: int) -> Self:
        """Leaves out all messages after the first so many."""
        return self.chosen(np.arange(len(self.whose)) < n_texts)

    def chosen(self, which: np.ndarray) -> Self:
        """Leaves out the messages that are not chosen by bool [K]."""
        if which.all():
            return self
        text = self.text[np.repeat(which, self.lengths)] if which.any() else self.text[:0]
        return self._replace(whose=self.whose[which], lengths=self.lengths[which], text=text)

    def count_in(self, counts: np.ndarray, settings: "TextSettings") -> None:
        """Adds the characters to their counts, int64 [COUNTED], in place."""
        for points in self.points(settings):
            count_points(counts, points)

    def points(self, settings: "TextSettings") -> Iterator[np.ndarray]:
        """Yields the code points, uint32, a piece at a time: one text may have millions.

        Where replies are learned, those of the questions are marked as read-only.
        """
        mark = ReadOnlyMarker() if settings.reply else lambda points: points
        decode = codecs.getincrementaldecoder("utf-8")().decode
        for start in range(0, len(self.text), _BYTES_AT_ONCE):
            yield mark(points_of(decode(self.text[start : start + _BYTES_AT_ONCE].data)))


def first_texts(batches: Iterable[JoinedTexts], n_texts: int) -> Iterator[JoinedTexts]:
    """Yields batches until there are so many messages."""
    for batch in batches:
        yield batch.first(n_texts)
        n_texts -= min(n_texts, len(batch.whose))
        if not n_texts:
            return


class JoinedTextsOnDisk:
    """Batches in a file without a name, which the system drops when it is closed, or with the process.

    Args:
        folder: where there is room; nothing is seen in it.

    Raises:
        UserError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed when nobody holds it
        except OSError as error:
            raise self._unwritable(error) from error

    def append(self, batch: JoinedTexts) -> None:
        """Writes a batch behind those that are there; raises UserError where the disk is full."""
        try:
            for part in (np.array([len(batch.whose), len(batch.text)]), *batch):
                self._file.write(part.data)
        except OSError as error:
            raise self._unwritable(error) from error

    def __iter__(self) -> Iterator[JoinedTexts]:
        """Reads all batches, in their order, from the first on."""
        try:
            self._file.seek(0)
        except OSError as error:  # what was written last may still have been on its way
            raise self._unwritable(error) from error
        while sizes := self._file.read(16):
            n_texts, n_bytes = np.frombuffer(sizes, np.int64).tolist()
            whose, lengths = (np.frombuffer(self._file.read(8 * n_texts), np.int64) for _ in range(2))
            yield JoinedTexts(whose, lengths, np.frombuffer(self._file.read(n_bytes), np.uint8))

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"{self._folder} cannot be written: {reason(error)}.")
