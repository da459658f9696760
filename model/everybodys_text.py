"""What a memory of everybody counts: all people of a chat, beside one person's run, or in the place of one on all.

`training_text` has one where a run remembers everybody; `run.everybodys_counts` keeps what was counted of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from charflow.model.canaries import PlantedCorpus
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.corpus.written import LeftOut, WrittenText
from charflow.pipeline.errors import SettingError
from charflow.pipeline.formats.inputs import is_read_once
from charflow.pipeline.formats.messages import Messages
from charflow.pipeline.prepared.corpus import PreparedCorpus

_KEPT_BACK = 0.1  # of each one's messages before the held-out ones: one's memory is fitted to the last of one's own
_OWN = 0  # who wrote the run's own text, where others' are counted beside it


def with_kept_back(held_out: float) -> float:
    """The share of each one's messages that what everybody wrote must not have: one's memory is fitted to some of it.

    >>> round(with_kept_back(0.1), 2)
    0.19
    """
    return held_out + (1 - held_out) * _KEPT_BACK


class EverybodysText:
    """Everybody's text, as the memory of one run counts it.

    Args:
        data: what the run's corpus was read from.
        corpus: of the run.
        learned: its ids that are learned.
        cache: where what is counted for all is kept.
        read: gives the messages of the files, for who has read them already.

    Attributes:
        written: all people's messages, without the end of each one's.

    Raises:
        SettingError: who wrote what cannot be read there.
    """

    def __init__(
        self,
        data: Sequence[str] | PreparedCorpus,
        corpus: Corpus,
        learned: np.ndarray,
        *,
        cache: CorpusCache | None = None,
        read: Callable[[], Messages] | None = None,
    ) -> None:
        self._corpus, self._learned = corpus, learned
        paths, settings = _source_of(data, corpus)
        self._users, messages = settings.users, None if settings.users else corpus.messages
        if self._users:
            plain, held_out = replace(settings.text, reply=False), with_kept_back(settings.held_out)
            settings = replace(settings, users=(), fraction=1.0, held_out=held_out, held_out_by="person", text=plain)
        elif settings.held_out_by == "messages":  # then what is learned is the beginning of the files
            settings = replace(settings, held_out=0.0, held_out_by="person")
        self.written = WrittenText(paths, settings, corpus.vocabulary, messages, cache=cache, read=read)

    @property
    def may_be_one_for_all(self) -> bool:
        """Whether the run's own text is, as far as it is in what all wrote, in there as the run learns it."""
        settings = self._corpus.settings
        return (
            settings is not None
            and len(settings.users) == 1
            and (settings.fraction, settings.text.reply) == (1, False)
            and not isinstance(self._corpus, PlantedCorpus)
        )

    def is_one_for_all(self, left_out: LeftOut) -> bool:
        """Whether it also has nothing of what the run does not learn: what it is judged by, or its memory fitted to."""
        return left_out.of(self._users[0]) > self._corpus.characters - len(self._learned)

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields what is counted for this run alone, as `WrittenText.pieces`: all others, and what it learns itself."""
        if self._users:
            yield from self.written.pieces(without=self._users)
            yield self._learned, np.full(len(self._learned), _OWN)
            return
        planted = self._corpus.inserted if isinstance(self._corpus, PlantedCorpus) else self._learned[:0]
        left = len(self._learned) - len(planted)  # what is fitted to is at the end
        for ids, writers in self.written.pieces():
            yield ids[:left], writers[:left]
            left -= min(left, len(ids))
        yield planted, np.full(len(planted), _OWN)


def _source_of(data: Sequence[str] | PreparedCorpus, corpus: Corpus) -> tuple[tuple[str, ...], CorpusSettings]:
    if isinstance(data, PreparedCorpus) or PreparedCorpus.among(data):
        raise SettingError(
            "A prepared corpus does not say who wrote what, which {memory} everybody asks: give the CSV files, or "
            "choose {memory} person."
        )
    if not corpus.settings or any(map(is_read_once, data)):
        raise SettingError(
            "{memory} everybody reads the chat once more, which a pipe does not allow: write it to a file, or choose "
            "{memory} person."
        )
    return tuple(data), corpus.settings
