"""Who wrote which characters: the messages of a chat, encoded, for counts that ask how many people wrote something.

`kept_texts` gives the messages and `held_out` leaves out the end of each one's; a memory of everybody counts the rest.
The ids wait in a scratch file, so that the chat is read once, however often it is counted; what is made of them may
stand in the cache for whoever is next. M is the number of messages.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.corpus.held_out import Tails, number_of
from charflow.pipeline.corpus.joined_texts import JoinedTexts
from charflow.pipeline.corpus.kept_texts import kept_texts, separator
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.formats.inputs import find_inputs
from charflow.pipeline.formats.messages import Messages, read_messages
from charflow.pipeline.scratch import scratch_file
from charflow.pipeline.settings import Paths
from charflow.pipeline.vocabulary import Vocabulary

_AT_ONCE, _MESSAGES_AT_ONCE = 1 << 20, 1 << 14  # characters, and messages


class LeftOut(NamedTuple):
    """How much of each person's text is not learned, at its end.

    Attributes:
        people: numbers, as `held_out` has them, int64, rising.
        characters: of each, int64.
    """

    people: np.ndarray
    characters: np.ndarray

    def of(self, user: str) -> int:
        """Characters of one user's; 0 of somebody who wrote nothing."""
        return int(self.characters[self.people == number_of(user)].sum())


class _Stored(NamedTuple):
    """All ids, on disk; where messages start, [M + 1]; whose they are, [M]; which are learned, bool [M]."""

    ids: np.ndarray
    starts: np.ndarray
    people: np.ndarray
    learned: np.ndarray


class WrittenText:
    """The messages that are learned, in the order of the files, and whose they are.

    Args:
        paths: files or globs, which can be read again.
        settings: which messages count, with ids in the place of names; the end of each person's is held out.
        vocabulary: of the ids.
        messages: only the first so many, those that are held out among them.
        cache: where to keep what is made of it.
        read: gives the messages of the files, for who has read them already.
    """

    def __init__(
        self,
        paths: Paths,
        settings: CorpusSettings,
        vocabulary: Vocabulary,
        messages: int | None = None,
        *,
        cache: CorpusCache | None = None,
        read: Callable[[], Messages] | None = None,
    ) -> None:
        self._paths, self._settings, self._vocabulary, self._most = paths, settings, vocabulary, messages
        self._cache, self._read = cache, read

    def place(self, kind: str, made: Any) -> Path | None:
        """Where in the cache something made of the text is to stand; None where there is no cache.

        Args:
            kind: what it is, a folder's name.
            made: how it is made, as JSON has it.
        """
        if not self._cache:
            return None
        what = [asdict(self._settings), self._vocabulary.chars, self._most, made]
        return self._cache.folder / kind / f"{self._cache.key(self._paths, json.dumps(what, sort_keys=True))}.npz"

    def pieces(self, without: Collection[str] = ()) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the text from its beginning: ids, [n], and a number for who wrote each, from 1, int32 [n].

        Args:
            without: users whose messages are left out.

        Raises:
            UserError: the files cannot be read, or there is no room for what was read of them.
        """
        ids, writers = self._learned
        people = np.unique(self._stored.people)
        numbers = np.flatnonzero(np.isin(people, [number_of(user) for user in without])) + 1
        for start in range(0, len(ids), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            others = ~np.isin(writers[part], numbers) if without else slice(None)
            yield ids[part][others], writers[part][others]

    def left_out(self) -> LeftOut:
        """How much of whose text the pieces do not have; raises UserError as they do."""
        _, starts, people, learned = self._stored
        own, places = np.unique(people[~learned], return_inverse=True)
        return LeftOut(own, np.bincount(places, np.diff(starts)[~learned], len(own)).astype(np.int64))

    @cached_property
    def _learned(self) -> tuple[np.ndarray, np.ndarray]:
        """What is learned, put together once, for it is read many times: ids and writers, on disk."""
        ids, starts, people, learned = self._stored
        writers = (np.unique(people, return_inverse=True)[1] + 1).astype(np.int32)
        lengths = np.diff(starts)
        parts = [slice(first, first + _MESSAGES_AT_ONCE) for first in range(0, len(people), _MESSAGES_AT_ONCE)]
        own = ((ids[starts[part][0] : starts[part][0] + lengths[part].sum()], part) for part in parts)
        return (
            _on_disk("learned", ids.dtype, (of[np.repeat(learned[part], lengths[part])] for of, part in own)),
            _on_disk(
                "writers", writers.dtype, (np.repeat(writers[part], lengths[part] * learned[part]) for part in parts)
            ),
        )

    @cached_property
    def _stored(self) -> _Stored:
        settings = self._settings
        messages = self._read() if self._read else read_messages(find_inputs(self._paths), settings.csv)
        after, lengths, whose = separator(settings.text), [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]

        def read() -> Iterator[np.ndarray]:
            for texts, writers, _ in kept_texts(messages, settings):
                joined = JoinedTexts.of(texts, writers, settings.text)
                yield from map(self._vocabulary.ids_of, joined.points(settings.text))
                lengths.append(tf.strings.length(texts, unit="UTF8_CHAR").numpy().astype(np.int64) + len(after))
                whose.append(joined.whose)

        ids = _on_disk("written", self._vocabulary.dtype, read())
        people, tails = np.concatenate(whose)[: self._most], Tails(settings.held_out)
        tails.count(people)
        starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths)[: self._most])])
        return _Stored(ids, starts, people, ~tails.from_start()(people))


def _on_disk(name: str, dtype: np.dtype, parts: Iterable[np.ndarray]) -> np.ndarray:
    """Writes an array into a scratch file, part by part."""
    path = scratch_file(name)
    try:
        with path.open("wb") as file:
            for part in parts:
                file.write(np.ascontiguousarray(part).data)
            length = file.tell()
    except OSError as error:
        raise UserError(f"{path} cannot be written ({reason(error)}): free some room, or set TMPDIR.") from error
    return np.memmap(path, dtype, "r") if length else np.zeros(0, dtype)
