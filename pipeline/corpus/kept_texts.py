"""Turns rows into the texts that a corpus is made of: judged, normalised, in batches, and all others counted.

`messages` reads and judges the rows; `joined_texts` joins the texts, which `corpus` encodes in memory,
`prepared.writing` on disk.
B is the number of rows in a batch, K how many of them are kept.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from charflow.pipeline.code_points import CODE_POINTS, named
from charflow.pipeline.corpus.held_out import people
from charflow.pipeline.corpus.replies import answered, spoken
from charflow.pipeline.corpus.users import most_active
from charflow.pipeline.errors import SettingError, UserError, counted
from charflow.pipeline.formats.messages import VERDICTS, Messages, count_users, judge
from charflow.pipeline.marks import END, NAMES, REPLY
from charflow.pipeline.text import normalise_batch
from charflow.pipeline.vocabulary import Vocabulary
from charflow.sentences import Sentence

if TYPE_CHECKING:
    from charflow.pipeline.corpus.settings import CorpusSettings
    from charflow.pipeline.text_settings import TextSettings

LITTLE = 1000  # held-out characters: a figure of fewer is off by about a tenth of a bit and more
_BLANK = " "  # between messages, as in the tutorial recipe
_MARKS = f"[{''.join(NAMES)}]"
_KEPT, _OTHER, _SHORT = map(VERDICTS.index, ("kept", "other user", "too short"))
_HEARD = (_KEPT, _OTHER, _SHORT)  # what can be answered, or itself ends what could
_EMPTIED = [{"kept": -1, "empty": 1}.get(verdict, 0) for verdict in VERDICTS]  # where a kept text turns out as empty
_UNFIT = "bad row"
_HEADER = "repeated header"
_BEYOND = "beyond the fraction"


def kept_texts(messages: Messages, settings: "CorpusSettings") -> tf.data.Dataset:
    """Filters and normalises, in file and row order.

    Where replies are learned, a text is what it answers, `REPLY`, and the message (see `replies`).

    Returns:
        A dataset of `(texts, whose, verdicts)`: texts string [K], the number of each one's writer as `people` gives it,
        int64 [K], and how many rows got each of `VERDICTS`, int32 [len(VERDICTS)].
    """
    batches = messages.dataset().map(_judged(settings), num_parallel_calls=tf.data.AUTOTUNE)
    if not settings.text.reply:
        return batches

    @tf.autograph.experimental.do_not_convert
    def paired(question: tf.Tensor, rows: tuple) -> tuple[tf.Tensor, tuple]:
        question, texts = answered(question, rows[0])
        return question, (texts, *rows[1:])

    return batches.scan("", paired)


@lru_cache(maxsize=16)  # to trace it takes longer than to read a small file
def _judged(settings: "CorpusSettings") -> Callable[[tf.Tensor, tf.Tensor], tuple]:
    """Makes what turns users and texts, string [B], into what `kept_texts` gives of a batch."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)] * 2, autograph=False)
    def judged(users: tf.Tensor, texts: tf.Tensor) -> tuple:
        verdicts = judge(
            users,
            texts,
            keep_users=settings.users,
            drop_users=settings.drop_users,
            min_length=settings.min_length,
        )
        heard = _places(_is_one_of(verdicts, _HEARD) if settings.text.reply else verdicts == _KEPT)
        normalised = normalise_batch(tf.gather(texts, heard), settings.text)
        if settings.text.marks:
            normalised = tf.strings.regex_replace(normalised, _MARKS, "")
        is_empty = normalised == ""  # some are made of nothing but what normalisation leaves out
        emptied = tf.math.count_nonzero(is_empty & (tf.gather(verdicts, heard) == _KEPT), dtype=tf.int32)
        counts = tf.math.bincount(verdicts, minlength=len(VERDICTS)) + emptied * tf.constant(_EMPTIED)
        left = _places(~is_empty)
        texts, heard = tf.gather(normalised, left), tf.gather(heard, left)
        if not settings.text.reply:
            return texts, people(tf.gather(users, heard), settings), counts
        heard_as = tf.gather(verdicts, heard)
        whose = people(tf.gather(users, tf.gather(heard, _places(heard_as == _KEPT))), settings)
        return spoken(texts, heard_as != _OTHER, heard_as == _KEPT), whose, counts

    return judged


def _places(which: tf.Tensor) -> tf.Tensor:
    """Where bool [B] is true, int64 [K]: tf.boolean_mask has ten times the ops, and takes as long to trace."""
    return tf.reshape(tf.where(which), [-1])


class Tally:
    """Counts what became of the rows, and says how many of the kept messages are used."""

    def __init__(self, messages: Messages, settings: "CorpusSettings") -> None:
        self._messages, self._settings = messages, settings
        self._verdicts = np.zeros(len(VERDICTS), np.int64)

    @property
    def rows(self) -> int:
        """Rows counted so far."""
        return int(self._verdicts.sum())

    def add(self, verdicts: tf.Tensor) -> None:
        """Adds a batch of `kept_texts`."""
        self._verdicts += verdicts.numpy()

    def used(self) -> int:
        """Says, when all rows are counted, how many messages are used.

        Raises:
            UserError: no message is left.
        """
        settings, n_kept = self._settings, int(self._verdicts[0])
        if not n_kept:
            why = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped(0).items())
            raise UserError(
                f"No message is left of {counted(self._messages.rows, 'row')} ({why}). "
                f"Most active: {most_active(count_users(self._messages), self._messages.all_names())}."
            )
        n_used = int(n_kept * settings.fraction)
        if not n_used:
            raise UserError(
                f"A fraction of {settings.fraction:g} leaves none of the {counted(n_kept, 'message')}.",
                advice=Sentence("Take more messages, or a larger {fraction}."),
            )
        return n_used

    def dropped(self, n_used: int) -> dict[str, int]:
        """Counts the rows left out, by reason; reasons that did not occur are left out too."""
        counts = {
            _UNFIT: len(self._messages.bad_rows),
            _HEADER: self._messages.repeated_headers,
            **dict(zip(VERDICTS[1:], self._verdicts[1:].tolist(), strict=True)),
            _BEYOND: int(self._verdicts[0]) - n_used,
        }
        return {reason: count for reason, count in counts.items() if count}


def _is_one_of(verdicts: tf.Tensor, wanted: Sequence[int]) -> tf.Tensor:
    return tf.reduce_any(verdicts[:, tf.newaxis] == tf.constant(wanted), axis=1)  # [B]


def tail_start(characters: int, by_messages: int, share: float) -> int:
    """Says where the held-out tail begins: at a message, or inside of one where the last messages are next to nothing.

    Fewer than ten messages, or a long one before some short ones, would leave nothing to judge by.

    Args:
        characters: N.
        by_messages: where the share of the messages begins.
        share: of the messages that is held out.

    >>> tail_start(50_000, 49_998, 0.1)
    45000
    """
    asked, found = int(characters * share), characters - by_messages
    return characters - asked if found < LITTLE and 2 * found < asked else by_messages


def separator(settings: "TextSettings") -> str:
    """What stands after each message; the last one of a text has no blank."""
    return END if settings.ends else _BLANK


def opening(settings: "TextSettings") -> str:
    """What a message stands behind that answers nothing."""
    return REPLY if settings.reply else separator(settings)


def make_vocabulary(counts: np.ndarray, settings: "CorpusSettings") -> Vocabulary:
    """Makes the vocabulary of what is to be learned.

    Args:
        counts: how often each code point stands in the corpus, and in it to be read only, int [COUNTED].
        settings: how often a character must occur, and which are always there.

    Raises:
        UserError: no character occurs often enough; nothing is answered where replies are learned.
    """
    read_only = counts[CODE_POINTS:]
    if settings.text.reply and read_only.sum() == read_only[ord(REPLY)]:
        raise SettingError("No message answers anybody: nobody else wrote just before one. Leave {reply} out.")
    return Vocabulary.from_counts(named(counts), min_count=settings.min_count, always=settings.text.marks)
