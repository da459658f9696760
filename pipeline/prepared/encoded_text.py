"""The text of a corpus as ids, from any batch on, in bounded memory.

`joined_texts` gives the messages in batches, and `held_out` says which are held out; `writing` writes what is encoded.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from charflow.pipeline.corpus.held_out import Tails
from charflow.pipeline.corpus.joined_texts import JoinedTexts, first_texts
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.prepared.manifest import Manifest, Position
from charflow.pipeline.vocabulary import Vocabulary

_PARTS = 2


class EncodedText:
    """The ids of the whole text, from where the last whole shard ends; once through the messages for each part.

    Args:
        texts: all that were kept, which can be read again and again.
        settings: how they became text.
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
        texts: Iterable[JoinedTexts],
        settings: CorpusSettings,
        manifest: Manifest,
        vocabulary: Vocabulary,
        tails: Tails,
    ) -> None:
        self.position = manifest.shards[-1].ended_in if manifest.shards else Position()
        self.n_read = sum(shard.characters for shard in manifest.shards)
        self.split = manifest.split
        self._texts, self._settings, self._tails, self._n_used = texts, settings, tails, manifest.messages
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
            for batch in self._part(part, following.batch):
                points = np.concatenate([np.empty(0, np.uint32), *batch.points(self._settings.text)])
                self.position = following
                following = Position(part, following.batch + 1, following.characters + len(points))
                ids = self._vocabulary.ids_of(points[max(0, self.n_read - self.position.characters) :])
                yield ids.astype(self._dtype, copy=False)

    def _part(self, part: int, first: int) -> Iterator[JoinedTexts]:
        """Yields a part of the text, from batch `first` on."""
        are_held_out = self._tails.from_start()
        for index, batch in enumerate(first_texts(self._texts, self._n_used)):
            held_out = are_held_out(batch.whose)
            if index >= first:
                yield batch.chosen(held_out == bool(part))
