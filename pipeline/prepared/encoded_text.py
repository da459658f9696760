"""The text of a corpus as code points, and as ids from any batch on, in bounded memory.

`kept_texts` gives the messages in batches; `writing` counts what is decoded here, and writes what is encoded.
K is the number of the kept messages in a batch.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from charflow.pipeline.corpus.kept_texts import kept_texts, separator
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.messages import Messages
from charflow.pipeline.prepared.manifest import Manifest, Position
from charflow.pipeline.read_only import ReadOnlyMarker
from charflow.pipeline.vocabulary import Vocabulary


class EncodedText:
    """The ids of the whole text, read once, from where the last whole shard ends.

    Attributes:
        n_read: characters before the next one.
        position: of the batch that the last one read is from.
        split: where the held-out tail starts; None while that is not reached.
    """

    def __init__(
        self, messages: Messages, settings: CorpusSettings, manifest: Manifest, vocabulary: Vocabulary
    ) -> None:
        self.position = manifest.shards[-1].ended_in if manifest.shards else Position()
        self.n_read = sum(shard.characters for shard in manifest.shards)
        self.split = manifest.split
        self._characters = manifest.characters
        self._first_held_out = manifest.messages - manifest.held_out_messages
        self._vocabulary, self._dtype = vocabulary, vocabulary.dtype.newbyteorder("<")
        self._pieces = self._encode(decoded(messages, settings, skip=self.position.batch))
        self._waiting = np.empty(0, self._dtype)

    def read(self, n_ids: int) -> Iterator[np.ndarray]:
        """Yields the next `n_ids` ids, in pieces, little-endian.

        Raises:
            UserError: the text ends before, so that its files are no longer what they were.
        """
        while n_ids:
            if not len(self._waiting):
                try:
                    self._waiting = next(self._pieces)
                except StopIteration:
                    raise UserError("The CSV files changed while they were read: prepare a new folder.") from None
            piece, self._waiting = self._waiting[:n_ids], self._waiting[n_ids:]
            n_ids -= len(piece)
            self.n_read += len(piece)
            yield piece

    def _encode(self, batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        following = self.position
        for points, lengths in batches:
            self.position = following
            held_out = self._first_held_out - self.position.messages  # place in the batch
            if 0 <= held_out < len(lengths):
                before = self.position.characters + int(lengths[:held_out].sum())
                self.split = min(before, self._characters)  # where none is held out, it is the message after the text
            following = Position(
                self.position.batch + 1,
                self.position.messages + len(lengths),
                self.position.characters + len(points),
            )
            ids = self._vocabulary.ids_of(points[max(0, self.n_read - self.position.characters) :])
            yield ids.astype(self._dtype, copy=False)


@tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.string)], autograph=False)
def decode(texts: tf.Tensor, after: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Gives the code points of texts [K], each with `after` behind it, int32 [characters]; and lengths [K]."""
    points = tf.strings.unicode_decode(texts + after, "UTF-8")
    return points.flat_values, points.row_lengths()


def decoded(messages: Messages, settings: CorpusSettings, *, skip: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields what `decode` gives of each batch, from batch `skip` on; batches before are read and no more."""
    texts, after = kept_texts(messages, settings, skip=skip), separator(settings.text)
    batches = texts.map(
        tf.autograph.experimental.do_not_convert(lambda kept, *_: decode(kept, after)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    for points, lengths in batches.as_numpy_iterator():
        yield marked(points, settings), lengths


def marked(points: np.ndarray, settings: CorpusSettings) -> np.ndarray:
    """The code points of a batch of whole texts, those that are only read marked."""
    return ReadOnlyMarker()(points) if settings.text.reply else points
