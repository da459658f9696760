"""Who wrote which characters: the messages of a chat, encoded, for counts that ask how many people wrote something.

`kept_texts` gives the messages and `held_out` leaves out the end of each one's; a memory of everybody counts the rest.
The ids wait in a scratch file, so that the chat is read once, however often it is counted. M is the number of messages.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import tensorflow as tf

from charflow.pipeline.corpus.held_out import Tails
from charflow.pipeline.corpus.kept_texts import code_points, kept_texts, separator
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.formats.inputs import find_inputs
from charflow.pipeline.formats.messages import read_messages
from charflow.pipeline.scratch import scratch_file
from charflow.pipeline.settings import Paths
from charflow.pipeline.vocabulary import Vocabulary

_AT_ONCE = 1 << 14  # messages


class WrittenText:
    """The messages that are learned, in the order of the files, and whose they are.

    Args:
        paths: files or globs, which can be read again.
        settings: which messages count, with ids in the place of names; the end of each person's is held out.
        vocabulary: of the ids.
        messages: only the first so many, those that are held out among them.
    """

    def __init__(
        self, paths: Paths, settings: CorpusSettings, vocabulary: Vocabulary, messages: int | None = None
    ) -> None:
        self._paths, self._settings, self._vocabulary, self._most = paths, settings, vocabulary, messages

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the text from its beginning: ids, [n], and a number for who wrote each, from 1, int64 [n].

        Raises:
            UserError: the files cannot be read, or there is no room for what was read of them.
        """
        ids, starts, whose, learned = self._stored
        for first in range(0, len(whose), _AT_ONCE):
            last = min(first + _AT_ONCE, len(whose))
            lengths = np.diff(starts[first : last + 1])
            chosen = np.repeat(learned[first:last], lengths)
            yield ids[starts[first] : starts[last]][chosen], np.repeat(whose[first:last], lengths)[chosen]

    @cached_property
    def _stored(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """All ids, on disk; where messages start, [M + 1]; whose they are, [M]; which are learned, bool [M]."""
        path, settings = scratch_file("written"), self._settings
        after, lengths, whose = separator(settings.text), [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        try:
            with path.open("wb") as file:
                for texts, writers, _ in kept_texts(read_messages(find_inputs(self._paths), settings.csv), settings):
                    for points in code_points(texts + after, settings.text):
                        file.write(self._vocabulary.ids_of(points).tobytes())
                    lengths.append(tf.strings.length(texts, unit="UTF8_CHAR").numpy().astype(np.int64) + len(after))
                    whose.append(writers.numpy())
        except OSError as error:
            raise UserError(f"{path} cannot be written ({reason(error)}): free some room, or set TMPDIR.") from error
        people, tails = np.concatenate(whose)[: self._most], Tails(settings.held_out)
        tails.count(people)
        starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        ids = np.memmap(path, self._vocabulary.dtype, "r") if starts[-1] else np.zeros(0, self._vocabulary.dtype)
        return ids, starts, np.unique(people, return_inverse=True)[1] + 1, ~tails.from_start()(people)
