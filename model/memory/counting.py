"""Counts which characters follow each context in a text, order by order, in bounded memory.

`automaton` makes tables of the counts, which `decoding` steps through. A context is up to `order` characters in a row,
a pair a context and a character after it. A pair that only one person wrote, a few times, is forgotten, so that it
cannot be recited; a context grows by a character only where that pair is kept (Agrawal and Srikant, "Fast algorithms
for mining association rules", VLDB 1994), so that each order is counted among what is left of the one below.
N is the number of characters, V the vocabulary size, C the number of contexts, P the number of pairs.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from charflow.model.memory.smoothing import discounted_shares
from charflow.pipeline.read_only import is_known

ROOT = 0  # the empty context
ABSENT = -1

MOST_PEOPLE = 1 << 24

# The ids of a stretch of text, [n], and which person wrote each, below MOST_PEOPLE, int64 [n]; None where one did.
Piece = tuple[np.ndarray, np.ndarray | None]


class Kept(NamedTuple):
    """What is kept of a text.

    Attributes:
        order: characters of the longest context.
        contexts: how many contexts, those that occur most often.
        occurrences: how often a pair is there, at least; or
        people: how many different persons wrote it, at least.
    """

    order: int
    contexts: int
    occurrences: int
    people: int = 3


class Counts(NamedTuple):
    """The kept contexts and pairs; contexts are numbered shorter ones first, and have all their ends among them.

    A key is `context * V + character`. The context that a pair makes together has the pair's key, and is numbered in
    the order of keys, as pairs are.

    Attributes:
        keys: of each context, int64 [C], rising; that of the empty one is below all others.
        suffixes: each context without its oldest character, int64 [C].
        totals: characters after each context, int64 [C], forgotten ones too.
        pairs: keys, int64 [P], rising.
        shares: of each pair in its context, discounted, float64 [P]; what they leave is for shorter contexts to say.
        ends: of the contexts of each order, int64 [order + 1].
    """

    keys: np.ndarray
    suffixes: np.ndarray
    totals: np.ndarray
    pairs: np.ndarray
    shares: np.ndarray
    ends: np.ndarray


def count_contexts(pieces: Callable[[], Iterable[Piece]], vocabulary_size: int, kept: Kept) -> Counts:
    """Counts a text, once for each order; what is read only or unknown has no count, and ends what contexts reach.

    Args:
        pieces: gives the text from its beginning, whenever it is called.
        vocabulary_size: V.
        kept: what is.

    >>> text = np.array([1, 2, 1, 2, 1, 2, 3])
    >>> counts = count_contexts(lambda: [(text, None)], 4, Kept(order=1, contexts=9, occurrences=2))
    >>> counts.keys.tolist(), counts.totals.tolist(), counts.pairs.tolist()  # 1, 2; 2 after 1, 1 after 2
    ([-5, 1, 2], [7, 3, 3], [1, 2, 6, 9])
    """
    V = vocabulary_size
    keys, suffixes, ends = np.array([-V - 1]), np.array([ROOT]), [1]
    columns: list[tuple[np.ndarray, ...]] = []
    for order in range(kept.order + 1):
        tally = _Tally(kept.people, V)
        for text in _with_run_up(pieces(), order + 1, V):
            tally.add(*_keys_of_order(keys, text, order, V))
        pairs, counts = tally.kept(kept.occurrences)
        totals = np.bincount(tally.keys // V, tally.counts, minlength=len(keys))[ends[-2] if order else ROOT :]
        columns.append((totals.astype(np.int64), pairs, tally.shares(V, raw=order == kept.order)[tally.places(pairs)]))
        if order < kept.order:
            grown = _longer(keys, suffixes, pairs, counts, kept.contexts, V)
            keys, suffixes = (np.concatenate(both) for both in zip((keys, suffixes), grown, strict=True))
            ends.append(len(keys))
    totals, pairs, shares = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return _most_frequent(Counts(keys, suffixes, totals, pairs, shares, np.array(ends)), kept.contexts, V)


def _with_run_up(pieces: Iterable[Piece], length: int, V: int) -> Iterator[Piece]:
    """Puts the last ids before each piece in front of it."""
    before = np.full(length, V)  # which is no character's id
    for ids, writers in pieces:
        ids = np.concatenate([before, ids])
        before = ids[len(ids) - length :]
        yield ids, writers


def _keys_of_order(
    keys: np.ndarray, text: Piece, order: int, V: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The pairs of a piece whose contexts are kept, as keys, [n]; the ids before their contexts; and the writers."""
    ids, writers = text
    counted = is_known(ids, V)
    contexts = np.full(len(ids), ROOT)  # of the characters before each, first none of them
    for _ in range(order):
        contexts = np.concatenate([[ABSENT], np.where(counted, _after(keys, contexts, ids, V), ABSENT)[:-1]])
    contexts, new, before = contexts[order + 1 :], ids[order + 1 :], ids[: -order - 1]
    chosen = counted[order + 1 :] & (contexts != ABSENT)
    pairs, before = contexts[chosen] * V + new[chosen], before[chosen].clip(max=V)
    return pairs, before, None if writers is None else writers[chosen]


def _after(keys: np.ndarray, contexts: np.ndarray, ids: np.ndarray, V: int) -> np.ndarray:
    """The contexts that are one id longer, [n]; ABSENT where there is none."""
    return np.where(contexts == ABSENT, ABSENT, find(keys, contexts * V + ids))


def find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The place of each key among rising ones, [n], or ABSENT."""
    ends = np.append(keys, np.iinfo(np.int64).max)  # keeps the place of a key beyond the last valid
    places = np.searchsorted(ends, wanted)
    return np.where(ends[places] == wanted, places, ABSENT)


def _longer(
    keys: np.ndarray, suffixes: np.ndarray, pairs: np.ndarray, counts: np.ndarray, most: int, V: int
) -> tuple[np.ndarray, np.ndarray]:
    """The contexts that kept pairs make, at most so many, the most frequent: their keys and suffixes."""
    contexts, ids = np.divmod(pairs, V)
    ends = np.where(contexts == ROOT, ROOT, _after(keys, suffixes[contexts], ids, V))
    known = np.flatnonzero(ends != ABSENT)
    chosen = np.sort(known[np.argsort(-counts[known], kind="stable")[:most]])
    return pairs[chosen], ends[chosen]


def _most_frequent(counts: Counts, most: int, V: int) -> Counts:
    """Leaves at most so many contexts, of those that have a pair; shorter ones first among equals."""
    useful = np.isin(np.arange(len(counts.keys)), counts.pairs // V)
    useful[ROOT] = True
    ranked = np.flatnonzero(useful)
    chosen = np.sort(ranked[np.argsort(-counts.totals[ranked], kind="stable")[:most]])
    number = np.full(len(counts.keys), ABSENT)
    number[chosen] = np.arange(len(chosen))
    parents, newest = np.divmod(counts.keys[chosen], V)
    contexts, ids = np.divmod(counts.pairs, V)
    left = number[contexts] != ABSENT
    keys = np.concatenate([counts.keys[:1], number[parents[1:]] * V + newest[1:]])
    return Counts(
        keys=keys,
        suffixes=number[counts.suffixes[chosen]],
        totals=counts.totals[chosen],
        pairs=number[contexts[left]] * V + ids[left],
        shares=counts.shares[left],
        ends=np.searchsorted(chosen, counts.ends),
    )


class _Tally:
    """Counts keys, and the different characters before and writers of each.

    Attributes:
        keys: all that were counted, rising.
        counts: of each.
    """

    def __init__(self, people: int, V: int) -> None:
        self._people = people
        self.keys, self.counts = np.empty(0, np.int64), np.empty(0, np.int64)
        self._before, self._writers = _Different(V + 1), _Different(MOST_PEOPLE, most=people)

    def add(self, keys: np.ndarray, before: np.ndarray, writers: np.ndarray | None) -> None:
        """Counts each key, [n], once more."""
        own, counts = np.unique(keys, return_counts=True)
        known = np.union1d(self.keys, own)
        summed = np.zeros(len(known), np.int64)
        summed[np.searchsorted(known, self.keys)] = self.counts
        summed[np.searchsorted(known, own)] += counts
        self.keys, self.counts = known, summed
        self._before.add(keys, before)
        if writers is not None:
            self._writers.add(keys, writers)

    def kept(self, occurrences: int) -> tuple[np.ndarray, np.ndarray]:
        """The keys that occurred so often, or that enough people wrote, and their counts."""
        kept = (self.counts >= occurrences) | (self._writers.of(self.keys) >= self._people)
        return self.keys[kept], self.counts[kept]

    def places(self, keys: np.ndarray) -> np.ndarray:
        """Where these keys are."""
        return np.searchsorted(self.keys, keys)

    def shares(self, V: int, *, raw: bool) -> np.ndarray:
        """The share of each key in its context, discounted; by its count, or by how many characters stood before."""
        return discounted_shares(self.counts if raw else self._before.of(self.keys), self.keys // V)


class _Different:
    """Counts the different values below `bound` of each key, up to `most`; together they are one number."""

    def __init__(self, bound: int, most: int | None = None) -> None:
        self._bound, self._most = bound, most
        self._seen = np.empty(0, np.int64)

    def add(self, keys: np.ndarray, values: np.ndarray) -> None:
        """Takes a value, [n], of each key, [n]."""
        seen = np.union1d(self._seen, keys * self._bound + values)
        if self._most:
            own = seen // self._bound
            new = np.append(True, own[1:] != own[:-1])[: len(own)]
            first = np.flatnonzero(new)  # of each key
            seen = seen[np.arange(len(seen)) - first[np.cumsum(new) - 1] < self._most]
        self._seen = seen

    def of(self, keys: np.ndarray) -> np.ndarray:
        """How many values each of these keys, [n], had."""
        return np.searchsorted(self._seen, (keys + 1) * self._bound) - np.searchsorted(self._seen, keys * self._bound)
