"""The text of a corpus as code points, and as ids from any batch on, in bounded memory.

`kept_texts` gives the messages in batches, and `held_out` says which are held out; `writing` counts what is decoded
here, and writes what is encoded. K is the number of the kept messages in a batch.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from charflow.pipeline.corpus.held_out import Tails
from charflow.pipeline.corpus.kept_texts import kept_texts, separator
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.messages import Messages
from charflow.pipeline.prepared.manifest import Manifest, Position
from charflow.pipeline.read_only import ReadOnlyMarker
from charflow.pipeline.vocabulary import Vocabulary

_PARTS = 2


class EncodedText:
    """The ids of the whole text, from where the last whole shard ends; the messages are read once for each part.

    Args:
        messages: of the files.
        settings: which of them count.
        manifest: what was written so far.
        vocabulary: of the ids.
        tails: which messages are held out, all counted.

    Attributes:
        n_read: characters before the next one.
        position: of the batch that the last one read is from.
        split: where the held-out tail starts; None while that is not reached.
    """

    def __init__(
        self,
        messages: Messages,
        settings: CorpusSettings,
        manifest: Manifest,
        vocabulary: Vocabulary,
        tails: Tails,
    ) -> None:
        self.position = manifest.shards[-1].ended_in if manifest.shards else Position()
        self.n_read = sum(shard.characters for shard in manifest.shards)
        self.split = manifest.split
        self._messages, self._settings, self._tails, self._n_used = messages, settings, tails, manifest.messages
        self._vocabulary, self._dtype = vocabulary, vocabulary.dtype.newbyteorder("<")
        self._pieces = self._encoded()
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

    def _encoded(self) -> Iterator[np.ndarray]:
        following = self.position
        for part in range(following.part, _PARTS):
            if part > following.part:  # all that is to be learned is over
                self.split = following.characters
                following = Position(part, 0, following.characters)
            for points in self._decoded(part, following.batch):
                self.position = following
                following = Position(part, following.batch + 1, following.characters + len(points))
                ids = self._vocabulary.ids_of(points[max(0, self.n_read - self.position.characters) :])
                yield ids.astype(self._dtype, copy=False)

    def _decoded(self, part: int, first: int) -> Iterator[np.ndarray]:
        """Yields the code points of a part of the text, from batch `first` on."""
        are_held_out, left = self._tails.from_start(), self._n_used
        for index, (texts, whose, _) in enumerate(kept_texts(self._messages, self._settings)):
            held_out = are_held_out(whose[:left].numpy())
            left -= len(held_out)
            if index >= first:
                yield decoded(texts[: len(held_out)][held_out == bool(part)], self._settings)
            if not left:
                return


def decoded(texts: tf.Tensor, settings: CorpusSettings) -> np.ndarray:
    """Gives the code points of texts [K], each with its separator, those that are only read marked, [characters]."""
    points = _decode(texts, separator(settings.text)).numpy()
    return ReadOnlyMarker()(points) if settings.text.reply else points


@tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.string)], autograph=False)
def _decode(texts: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    return tf.strings.unicode_decode(texts + after, "UTF-8").flat_values
