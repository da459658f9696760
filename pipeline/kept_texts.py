"""Turns rows into the texts that a corpus is made of: judged, normalised, in batches, and all others counted.

`messages` reads and judges the rows; `corpus` joins and encodes the texts in memory, `prepare` on disk.
B is the number of rows in a batch, K how many of them are kept.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from charflow.pipeline.errors import UserError
from charflow.pipeline.messages import VERDICTS, Messages, judge
from charflow.pipeline.text import normalise

if TYPE_CHECKING:
    from charflow.pipeline.corpus import CorpusSettings

SEPARATOR = " "  # between messages, as in the tutorial recipe
CODE_POINTS = 0x110000
_UNFIT = "bad row"
_BEYOND = "beyond the fraction"


def kept_texts(messages: Messages, settings: "CorpusSettings", *, skip: int = 0) -> tf.data.Dataset:
    """Filters and normalises, in file and row order; the first `skip` batches are read and left out.

    Returns:
        A dataset of `(texts, verdicts, seen)`: texts string [K], how many rows got each of `VERDICTS` int32
        [len(VERDICTS)], and how many each of `settings.users` wrote int64 [len(users)].
    """
    wanted = tf.constant(settings.users, tf.string, shape=[len(settings.users)])

    def judged(users: tf.Tensor, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        verdicts = judge(
            users,
            texts,
            keep_users=settings.users,
            drop_users=settings.drop_users,
            min_length=settings.min_length,
        )
        kept = normalise(tf.boolean_mask(texts, verdicts == 0), settings.text)
        seen = tf.reduce_sum(tf.cast(users[:, tf.newaxis] == wanted, tf.int64), axis=0)
        return kept, tf.math.bincount(verdicts, minlength=len(VERDICTS)), seen

    return messages.dataset().skip(skip).map(judged, num_parallel_calls=tf.data.AUTOTUNE)


class Tally:
    """Counts what became of the rows, and says how many of the kept messages are used and held out."""

    def __init__(self, messages: Messages, settings: "CorpusSettings") -> None:
        self._messages, self._settings = messages, settings
        self._verdicts = np.zeros(len(VERDICTS), np.int64)
        self._seen = np.zeros(len(settings.users), np.int64)

    @property
    def rows(self) -> int:
        """Rows counted so far."""
        return int(self._verdicts.sum())

    def add(self, verdicts: tf.Tensor, seen: tf.Tensor) -> None:
        """Adds a batch of `kept_texts`."""
        self._verdicts += verdicts.numpy()
        self._seen += seen.numpy()

    def shares(self) -> tuple[int, int]:
        """Says, when all rows are counted, how many messages are used and how many of these are held out.

        Raises:
            UserError: a user has no row, or no message is left.
        """
        self._check_users()
        settings, n_kept = self._settings, int(self._verdicts[0])
        if not n_kept:
            raise UserError(
                f"No message is left of {self._messages.rows:,} rows: all were filtered out as dropped users, "
                f"empty or too short. Most active: {_most_active(self._messages)}."
            )
        n_used = int(n_kept * settings.fraction)
        if not n_used:
            raise UserError(f"A fraction of {settings.fraction:g} leaves none of the {n_kept:,} messages.")
        return n_used, int(n_used * settings.held_out)

    def dropped(self, n_used: int) -> dict[str, int]:
        """Counts the rows left out, by reason; reasons that did not occur are left out too."""
        counts = {
            _UNFIT: len(self._messages.bad_rows),
            **dict(zip(VERDICTS[1:], self._verdicts[1:].tolist(), strict=True)),
            _BEYOND: int(self._verdicts[0]) - n_used,
        }
        return {reason: count for reason, count in counts.items() if count}

    def _check_users(self) -> None:
        """Refuses user ids without a row: a misspelt id would go unnoticed."""
        absent = [user for user, rows in zip(self._settings.users, self._seen, strict=True) if not rows]
        if absent:
            who = "user" if len(absent) == 1 else "users"
            raise UserError(
                f"No messages from {who} {', '.join(absent)}: 0 of {self._messages.rows:,} rows."
                f" Most active: {_most_active(self._messages)}."
            )


def separated(batches: list[tf.Tensor], n_used: int) -> Iterator[tf.Tensor]:
    """Cuts the batches off after `n_used` messages and puts the separator after every message but the last."""
    left = n_used
    for batch in batches:
        texts = batch[:left]
        left -= len(texts)
        if not len(texts):
            continue
        if left:
            yield texts + SEPARATOR
        else:
            yield tf.concat([texts[:-1] + SEPARATOR, texts[-1:]], axis=0)
            return


def count_points(counts: np.ndarray, points: np.ndarray) -> None:
    """Adds the code points [N] to their counts [CODE_POINTS], in place."""
    found = np.bincount(points)
    counts[: len(found)] += found


def named(counts: np.ndarray) -> dict[str, int]:
    """Gives the counts [CODE_POINTS] of the characters that occur."""
    return {chr(point): int(counts[point]) for point in np.flatnonzero(counts)}


def _most_active(messages: Messages) -> str:
    from charflow.pipeline.explore import count_users  # explore describes corpora, which are made of these texts

    return ", ".join(f"{user} ({count:,})" for user, count in count_users(messages).most_common(3))
