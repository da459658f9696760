"""The text that a run learns from, wherever it is: in memory, a part of it, or on disk.

`trainer` asks it for windows to train on and stretches to evaluate and sample from. B is the global batch size, T the
window length.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import numpy as np
import tensorflow as tf

from charflow.model.config import TrainingConfig
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.formats.long_messages import Noticed
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.prepared.streaming import MEMORY, naming_shards, stream_windows
from charflow.pipeline.vocabulary import Vocabulary
from charflow.pipeline.windows import Share, count_windows, make_windows


class TrainingText(Protocol):
    """What a run needs of its text.

    Attributes:
        vocabulary: the characters of the ids.
        rows: of the data.
        dropped: rows left out, by reason.
        messages: in the text.
        train_characters: to learn from.
        held_out_characters: to be judged on.
        host_bytes: that it takes in memory.
        noticed: about the messages that it was made of.
    """

    vocabulary: Vocabulary
    rows: int
    dropped: Mapping[str, int]
    messages: int
    train_characters: int
    held_out_characters: int
    host_bytes: int
    noticed: Noticed

    def count_windows(self, training: TrainingConfig) -> int:
        """Windows in an epoch, over all workers."""
        ...

    def windows(self, training: TrainingConfig, batch_size: int, first_step: int, share: Share) -> tf.data.Dataset:
        """Endless batches from `first_step` on: for each step the parts of `share`, `(inputs [B / R, T], targets)`."""
        ...

    def piece(self, start: int, length: int) -> np.ndarray:
        """Training ids from `start` on, at most `length`."""
        ...

    def end(self, length: int) -> np.ndarray:
        """The last training ids, at most `length`: what the held-out text continues."""
        ...

    def held_out(self, most: int) -> np.ndarray:
        """The first `most` held-out ids, or all where there are fewer."""
        ...

    def naming_errors(self) -> AbstractContextManager[None]:
        """Turns what goes wrong while windows are read into a sentence."""
        ...


class TextInMemory:
    """A corpus in memory.

    Args:
        corpus: the text.
        parts: how many workers hold such a corpus, each its own part of the text (`PreparedCorpus.load_part`).
    """

    def __init__(self, corpus: Corpus, *, parts: int = 1) -> None:
        self._corpus, self._parts = corpus, parts
        self.vocabulary, self.rows = corpus.vocabulary, corpus.rows
        self.dropped: Mapping[str, int] = corpus.dropped
        self.messages, self.train_characters = corpus.messages, corpus.split
        self.held_out_characters = corpus.held_out_characters
        self.host_bytes = corpus.ids.nbytes
        self.noticed = corpus.noticed

    def count_windows(self, training: TrainingConfig) -> int:
        return self._parts * count_windows(
            self._corpus.split, length=training.window_length, shift=training.window_shift
        )

    def windows(self, training: TrainingConfig, batch_size: int, first_step: int, share: Share) -> tf.data.Dataset:
        part, seed = share, training.seed
        if self._parts > 1:  # a batch is put together from a part of each worker's own text
            batch_size //= self._parts
            seed += share.first // share.count << 32
            part = Share(first=0, count=share.count, total=share.count)
        return make_windows(
            self._corpus.train_ids,
            length=training.window_length,
            shift=training.window_shift,
            batch_size=batch_size,
            targets=training.targets,
            shuffle_seed=seed,
            epochs=None,
            first_step=first_step,
            drop_remainder=True,
            share=part,
        )

    def piece(self, start: int, length: int) -> np.ndarray:
        return np.asarray(self._corpus.train_ids[start : start + length])

    def end(self, length: int) -> np.ndarray:
        return self._corpus.train_end(length)

    def held_out(self, most: int) -> np.ndarray:
        return self._corpus.held_out_start(most)

    def naming_errors(self) -> AbstractContextManager[None]:
        return nullcontext()


class TextOnDisk:
    """A prepared corpus that is read while it is trained on.

    Args:
        prepared: the text.
        memory: bytes for the buffers.
    """

    def __init__(self, prepared: PreparedCorpus, *, memory: int = MEMORY) -> None:
        self._prepared, self._memory = prepared, memory
        facts = prepared.facts()
        self.vocabulary, self.rows = prepared.vocabulary, int(facts["rows"])
        self.dropped: Mapping[str, int] = facts["dropped"]
        self.messages, self.train_characters = prepared.messages, prepared.split
        self.held_out_characters = prepared.held_out_characters
        self.host_bytes = memory
        self.noticed = prepared.noticed

    def count_windows(self, training: TrainingConfig) -> int:
        return count_windows(self._prepared.split, length=training.window_length, shift=training.window_shift)

    def windows(self, training: TrainingConfig, batch_size: int, first_step: int, share: Share) -> tf.data.Dataset:
        return stream_windows(
            self._prepared,
            length=training.window_length,
            shift=training.window_shift,
            targets=training.targets,
            global_batch=batch_size,
            first_step=first_step,
            seed=training.seed,
            pipeline=share.first // share.count,
            pipelines=share.total // share.count,
            replicas=share.count,
            memory=self._memory,
        )

    def piece(self, start: int, length: int) -> np.ndarray:
        return self._prepared.read(start, min(start + length, self.train_characters))

    def end(self, length: int) -> np.ndarray:
        return self._prepared.train_end(length)

    def held_out(self, most: int) -> np.ndarray:
        return self._prepared.held_out_start(most)

    def naming_errors(self) -> AbstractContextManager[None]:
        return naming_shards(self._prepared)
