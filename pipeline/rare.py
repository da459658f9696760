"""Finds the characters of a text that are too rare to be learned, and what it would take to leave them out.

The commands say it beside the size of a corpus, before anything is trained: every distinct character costs weights and
time at each step, and one that occurs a few times is learned by nobody.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from charflow.pipeline.vocabulary import UNKNOWN_ID

_LIMITS = (2, 3, 5, 10, 20, 50, 100)
_MOST_LOST = 1 / 2000  # of the text
_FEWEST, _LEAST_SHARE = 64, 1 / 4  # characters worth a word: so many, and this much of the distinct ones
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class RareCharacters:
    """Characters that occur less than `min_count` times.

    Attributes:
        min_count: the least count of those that stay.
        number: how many characters are rarer.
        distinct: how many there are in all.
        share: of the text that they are.
    """

    min_count: int
    number: int
    distinct: int
    share: float

    def advice(self) -> str:
        """Says it in a sentence."""
        return (
            f"{self.number:,} of the {self.distinct:,} distinct characters occur less than {self.min_count} times and "
            f"make {self.share:.2%} of the text: --min-count {self.min_count} reads them as [UNK], for a smaller and "
            "faster model."
        )


def rare_characters(ids: Iterable[np.ndarray], size: int) -> RareCharacters | None:
    """Finds the most characters that can go at no loss worth a word; None where that is not worth it.

    Args:
        ids: the text in pieces, each an integer array [N].
        size: V, `[UNK]` included.

    >>> text = np.concatenate([np.ones(1_000_000, int), np.arange(2, 102)])  # one letter, and a hundred once each
    >>> rare_characters([text], 102)
    RareCharacters(min_count=2, number=100, distinct=101, share=9.999000099990002e-05)
    """
    counts = np.zeros(size, np.int64)
    for piece in ids:
        for start in range(0, len(piece), _AT_ONCE):
            counts += np.bincount(piece[start : start + _AT_ONCE], minlength=size)
    counts, total = counts[UNKNOWN_ID + 1 :], int(counts.sum())
    found = None
    for limit in _LIMITS:
        rare = counts[counts < limit]
        if rare.sum() > total * _MOST_LOST:
            break
        if len(rare) > (found.number if found else 0):
            found = RareCharacters(limit, len(rare), len(counts), float(rare.sum() / total))
    return found if found and found.number >= max(_FEWEST, _LEAST_SHARE * found.distinct) else None
