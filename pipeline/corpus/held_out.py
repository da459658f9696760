"""Says which messages are held out: the last of each person's, or the last of all.

`kept_texts` says whose the messages are; `corpus` and `prepared.writing` ask. A run that learns from everybody then has
seen the end of nobody's messages, so that each person can be judged on them, whatever else starts from that run.
K is the number of messages in a batch.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from charflow.pipeline.corpus.settings import CorpusSettings

_PEOPLE = 2**63 - 1  # so many that no two users of a chat have the same number


def people(users: tf.Tensor, settings: CorpusSettings) -> tf.Tensor:
    """Gives each user id, string [B], a number, int64 [B]: the same for all where the last of all are held out."""
    if settings.held_out_by == "messages":
        return tf.zeros_like(users, tf.int64)
    return tf.strings.to_hash_bucket_fast(users, _PEOPLE)


def number_of(user: str) -> int:
    """The number that one user id has there."""
    return int(tf.strings.to_hash_bucket_fast(user, _PEOPLE))


class Tails:
    """The last share of each person's messages; all are counted first, and told apart in as many passes as it takes.

    >>> tails, people = Tails(0.5), np.array([7, 7, 9, 7, 9, 7])
    >>> tails.count(people)
    >>> are_held_out = tails.from_start()
    >>> tails.messages, are_held_out(people[:4]).tolist(), are_held_out(people[4:]).tolist()
    (3, [False, False, False, True], [True, True])

    Args:
        share: of each person's messages, rounded down to whole ones.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._counts: Counter[int] = Counter()

    def count(self, people: np.ndarray) -> None:
        """Counts messages by whose they are, int64 [K]."""
        own, counts = np.unique(people, return_counts=True)
        self._counts.update(dict(zip(own.tolist(), counts.tolist(), strict=True)))

    @property
    def messages(self) -> int:
        """How many of those that were counted are held out."""
        return sum(map(self._length, self._counts))

    def from_start(self) -> Callable[[np.ndarray], np.ndarray]:
        """Begins a pass: gives what says of the next messages, by whose they are, int64 [K], whether they are held out.

        Its answers are bool [K].
        """
        to_learn = {person: count - self._length(person) for person, count in self._counts.items()}

        def are_held_out(people: np.ndarray) -> np.ndarray:
            own, person, counts = np.unique(people, return_inverse=True, return_counts=True)
            order = np.argsort(person, kind="stable")
            before = np.empty_like(order)  # messages of the same person earlier in the batch
            before[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
            left = np.array([to_learn[who] for who in own.tolist()], np.int64)
            to_learn.update(zip(own.tolist(), (left - counts).tolist(), strict=True))
            return before >= left[person]

        return are_held_out

    def _length(self, person: int) -> int:
        return int(self._counts[person] * self._share)
