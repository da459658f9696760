"""The text that a run learns from, wherever it is: in memory, a part of it, or on disk.

`read_text` chooses; `trainer` asks the text for windows to train on and stretches to evaluate and sample from. B is the
global batch size, T the window length.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from charflow.model.canaries import planted
from charflow.model.config import Config, TrainingConfig
from charflow.model.everybodys_text import EverybodysText
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.corpus.corpus import Corpus, build_corpus
from charflow.pipeline.errors import SettingError, UserError
from charflow.pipeline.files import VOCABULARY
from charflow.pipeline.formats.inputs import is_read_once
from charflow.pipeline.formats.messages import Messages
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.prepared.streaming import MEMORY, naming_shards, stream_windows
from charflow.pipeline.vocabulary import Vocabulary
from charflow.pipeline.windows import Share, count_windows, make_windows

_FITTED = 0.05  # share of the text before the held-out tail
MOST_FITTED = 1 << 15  # characters
_PIECE = 1 << 20  # characters
_OF_PREPARED = ("shard_corpus", "streaming")  # settings that say how a prepared corpus is held


class TrainingText(ABC):
    """What a run needs of its text: training part, what a memory is fitted to, held-out tail, in this order.

    Attributes:
        corpus: what it is a text of: facts, vocabulary and fingerprint are those of the whole.
        vocabulary: the characters of the ids.
        host_bytes: that it takes in memory.
        fitted_characters: between what is learned and what is held out, which are kept from network and counts alike.
        everybody: what its memory counts; None where that is the text to learn from, whoever wrote it.
    """

    everybody: EverybodysText | None = None

    def __init__(self, corpus: Corpus | PreparedCorpus, host_bytes: int, fitted_characters: int = 0) -> None:
        self.corpus, self.vocabulary, self.host_bytes = corpus, corpus.vocabulary, host_bytes
        self.fitted_characters = fitted_characters

    @property
    def train_characters(self) -> int:
        """Characters of the text to learn from, those that are only read too."""
        return self.corpus.split - self.fitted_characters

    @cached_property
    def learned_characters(self) -> int:
        """Those of them that are learned."""
        return self.corpus.count_learned(0, self.train_characters)

    @property
    def held_out_characters(self) -> int:
        """Characters of the text to be judged on, those that are only read too."""
        return self.corpus.held_out_characters

    @cached_property
    def judged_characters(self) -> int:
        """Those of them that are scored."""
        return self.corpus.count_learned(self.corpus.split, self.corpus.characters)

    def end(self, length: int) -> np.ndarray:
        """The last ids before the held-out text, at most `length`: what that continues."""
        return self.corpus.train_end(length)

    def held_out(self, most: int) -> np.ndarray:
        """The first `most` held-out ids, or all where there are fewer."""
        return self.corpus.held_out_start(most)

    def fitted(self) -> np.ndarray:
        """What a memory is fitted to, [fitted_characters]."""
        return self.corpus.train_end(self.fitted_characters)

    def count_windows(self, training: TrainingConfig) -> int:
        """Windows in an epoch, over all workers."""
        return count_windows(self.train_characters, length=training.window_length, shift=training.window_shift)

    @abstractmethod
    def windows(self, training: TrainingConfig, batch_size: int, first_step: int, share: Share) -> tf.data.Dataset:
        """Endless batches from `first_step` on: for each step the parts of `share`, `(inputs [B / R, T], targets)`."""

    @abstractmethod
    def piece(self, start: int, length: int) -> np.ndarray:
        """Training ids from `start` on, at most `length`."""

    def counted(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yields what a memory counts, from its beginning: ids, [n], and who wrote each, int [n]; None if one did."""
        for start in range(0, self.train_characters, _PIECE):
            yield self.piece(start, _PIECE), None

    def naming_errors(self) -> AbstractContextManager[None]:
        """Turns what goes wrong while windows are read into a sentence."""
        return nullcontext()


class TextInMemory(TrainingText):
    """A corpus in memory.

    Args:
        corpus: the text.
        parts: how many workers hold such a corpus, each its own part of the text (`PreparedCorpus.load_part`).
        memory: whether the run has one.
    """

    def __init__(self, corpus: Corpus, *, parts: int = 1, memory: bool = False) -> None:
        fitted = min(int(corpus.split * _FITTED), MOST_FITTED) if memory else 0
        super().__init__(corpus, corpus.ids.nbytes, fitted)
        self._train_ids, self._parts = corpus.train_ids[: self.train_characters], parts

    def count_windows(self, training: TrainingConfig) -> int:
        return self._parts * super().count_windows(training)

    def windows(self, training: TrainingConfig, batch_size: int, first_step: int, share: Share) -> tf.data.Dataset:
        part, seed = share, training.seed
        if self._parts > 1:  # a batch is put together from a part of each worker's own text
            batch_size //= self._parts
            seed += share.first // share.count << 32
            part = Share(first=0, count=share.count, total=share.count)
        return make_windows(
            self._train_ids,
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
        return np.asarray(self._train_ids[start : start + length])

    def counted(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        return self.everybody.pieces() if self.everybody else super().counted()


class TextOnDisk(TrainingText):
    """A prepared corpus that is read while it is trained on.

    Args:
        prepared: the text.
        memory: bytes for the buffers.
    """

    def __init__(self, prepared: PreparedCorpus, *, memory: int = MEMORY) -> None:
        super().__init__(prepared, memory)
        self._prepared = prepared

    def windows(self, training: TrainingConfig, batch_size: int, first_step: int, share: Share) -> tf.data.Dataset:
        return stream_windows(
            self._prepared,
            length=training.window_length,
            shift=training.window_shift,
            targets=training.targets,
            batch_size=batch_size,
            first_step=first_step,
            shuffle_seed=training.seed,
            share=share,
            memory=self.host_bytes,
        )

    def piece(self, start: int, length: int) -> np.ndarray:
        return self._prepared.read(start, min(start + length, self.train_characters))

    def naming_errors(self) -> AbstractContextManager[None]:
        return naming_shards(self._prepared)


def read_text(
    data: Sequence[str] | PreparedCorpus,
    config: Config,
    *,
    worker: int = 0,
    workers: int = 1,
    cache: CorpusCache | None = None,
    vocabulary: Vocabulary | None = None,
    read: Callable[[], Messages] | None = None,
) -> TrainingText:
    """Reads what one of several workers trains on: CSV files whole, a prepared corpus whole, in part, or as it trains.

    Args:
        data: files or globs, or an open corpus.
        config: of the run; its corpus settings are for files, as a prepared corpus has its own.
        worker: which of the `workers` this one is.
        workers: processes that train together.
        cache: where encoded corpora are kept.
        vocabulary: to read in; that of the text by default, or of the run that this one starts from.
        read: gives the messages of the files, for who needs them for more than one text.

    Raises:
        UserError: settings that need a prepared corpus, a pipe that several workers would read, whatever is wrong with
            the files, or too few windows for all workers.
    """
    training = config.training
    if vocabulary is None and training.starts:
        vocabulary = Vocabulary.load(Path(training.start_from) / VOCABULARY)
    if not isinstance(data, PreparedCorpus):
        if needy := tuple(name for name in _OF_PREPARED if getattr(training, name)):
            raise SettingError("{needy} needs a corpus that charflow prepare has written.", needy=needy)
        if workers > 1 and any(map(is_read_once, data)):
            raise UserError(
                "Workers cannot share standard input or a pipe: write the chat to a file that all can read."
            )
        corpus = planted(build_corpus(tuple(data), config.corpus, cache, read=read, vocabulary=vocabulary), config)
        return text_in_memory(corpus, training, config.data or data, cache, read)
    if vocabulary:
        data = data.read_in(vocabulary)
    if training.streaming:
        return TextOnDisk(data)
    if training.shard_corpus and workers > 1:
        part = data.load_part(worker, workers, length=training.window_length, shift=training.window_shift)
        return TextInMemory(part, parts=workers)
    return text_in_memory(planted(data.load(), config), training, data)


def text_in_memory(
    corpus: Corpus,
    training: TrainingConfig,
    data: Sequence[str] | PreparedCorpus,
    cache: CorpusCache | None = None,
    read: Callable[[], Messages] | None = None,
) -> TextInMemory:
    """Makes of a corpus what a run learns from, with what its memory counts.

    Args:
        corpus: the text.
        training: settings of the run.
        data: what the corpus was read from.
        cache: where what was counted of everybody is kept.
        read: gives the messages of the files, for who has read them already.

    Raises:
        SettingError: a memory of everybody is asked for, and who wrote what cannot be read there.
    """
    text = TextInMemory(corpus, memory=training.remembers)
    if training.memory == "everybody":
        text.everybody = EverybodysText(data, corpus, text.piece(0, text.train_characters), cache=cache, read=read)
    return text
