"""Counts numbers that come in pieces, in columns: sorted ones with how often each came, merged piece by piece.

`counting` makes numbers of a text's contexts, and asks here how often each of them came, beside how many different
others, and which number it has itself. Each is bounded by how many different ones there are, not by the text. n is the
length of a piece.
"""

from collections.abc import Callable

import numpy as np

ABSENT = -1
_MOST_DENSE = 1 << 26  # numbers that are looked up in a table, an int32 each; it takes a sixth of a search's time


class Tally:
    """Counts numbers.

    Attributes:
        keys: all that came, int64, rising.
        counts: how often each came, int64.
    """

    def __init__(self) -> None:
        self.keys, self.counts = np.empty(0, np.int64), np.empty(0, np.int64)

    def add(self, keys: np.ndarray) -> None:
        """Counts each, int64 [n], once more; sorts them where they are."""
        keys.sort()
        starts = _starts(keys)
        keys, counts = keys[starts], np.diff(starts, append=len(keys))
        if len(self.keys):
            keys, counts = np.concatenate([self.keys, keys]), np.concatenate([self.counts, counts])
            order = np.argsort(keys, kind="stable")  # which merges what is sorted already
            keys, counts = keys[order], counts[order]
            starts = _starts(keys)
            keys, counts = keys[starts], np.add.reduceat(counts, starts) if len(keys) else counts
        self.keys, self.counts = keys, counts


class Different:
    """Counts the different values below `bound` of each key, up to `most`; together they are one number.

    Args:
        bound: of the values.
        most: that are told apart.
    """

    def __init__(self, bound: int, most: int) -> None:
        self._bound, self._most, self._seen = bound, most, np.empty(0, np.int64)

    def add(self, keys: np.ndarray, values: np.ndarray) -> None:
        """Takes a value, [n], of each key, [n]."""
        seen = np.unique(np.concatenate([self._seen, keys.astype(np.int64) * self._bound + values]))
        starts = _starts(seen // self._bound)  # of each key
        places = np.arange(len(seen)) - np.repeat(starts, np.diff(starts, append=len(seen)))
        self._seen = seen[places < self._most]

    def reached(self) -> np.ndarray:
        """The keys that had `most` different values, rising."""
        keys, counts = np.unique(self._seen // self._bound, return_counts=True)
        return keys[counts >= self._most]


def runs(of: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Puts together what belongs to the same: each of rising numbers, [n], once; the sum of its counts; how many."""
    starts = _starts(of)
    return of[starts], np.add.reduceat(counts, starts) if len(of) else counts, np.diff(starts, append=len(of))


def find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The place of each key among rising ones, [n], or ABSENT."""
    ends = np.append(keys, np.iinfo(np.int64).max)  # keeps the place of a key beyond the last valid
    places = np.searchsorted(ends, wanted)
    return np.where(ends[places] == wanted, places, ABSENT)


def finder(keys: np.ndarray, bound: int) -> Callable[[np.ndarray], np.ndarray]:
    """Makes what finds places, as `find` does, of numbers from 0 to `bound` again and again."""
    if bound >= _MOST_DENSE:
        return lambda wanted: find(keys, wanted)
    places = np.full(bound + 1, ABSENT, np.int32)
    places[keys] = np.arange(len(keys))
    return places.__getitem__


def _starts(keys: np.ndarray) -> np.ndarray:
    """Where another number begins in rising ones."""
    return np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
