"""Counts which characters follow each context in a text, order by order, in bounded memory.

`automaton` makes tables of the counts, which `decoding` steps through. A context is up to `order` characters in a row,
a pair a context and a character after it. A pair that only one person wrote, a few times, is forgotten, so that it
cannot be recited; a context grows by a character only where that pair is kept (Agrawal and Srikant, "Fast algorithms
for mining association rules", VLDB 1994), so that each order is counted among what is left of the one below.
N is the number of characters, V the vocabulary size, C the number of contexts, P the number of pairs.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charflow.model.memory.smoothing import discounted_shares
from charflow.model.memory.tally import ABSENT, Different, Tally, find, finder, runs
from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.read_only import is_known
from charflow.pipeline.scratch import scratch_file

ROOT = 0  # the empty context
MOST_PEOPLE = 1 << 24

_AT_ONCE = 1 << 22  # characters that are sorted together, at least

# The ids of a stretch of text, [n], and which person wrote each, below MOST_PEOPLE, int [n]; None where one did.
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
        pieces: gives the text from its beginning, whenever it is called, the same way each time.
        vocabulary_size: V.
        kept: what is.

    Raises:
        UserError: there is no room for temporary files.

    >>> text = np.array([1, 2, 1, 2, 1, 2, 3])
    >>> counts = count_contexts(lambda: [(text, None)], 4, Kept(order=1, contexts=9, occurrences=2))
    >>> counts.keys.tolist(), counts.totals.tolist(), counts.pairs.tolist()  # 1, 2; 2 after 1, 1 after 2
    ([-5, 1, 2], [7, 3, 3], [1, 2, 6, 9])
    """
    V = vocabulary_size
    text = _Contexts(pieces, V)
    keys, suffixes, ends = np.array([-V - 1]), np.array([ROOT]), [1]
    columns: list[tuple[np.ndarray, ...]] = []
    for order in range(kept.order + 1):
        first, longest = ends[-2] if order else ROOT, order == kept.order
        pairs, counts, before = _tallied(text, V, raw=longest)
        shares = discounted_shares(counts if longest else before, pairs // V)
        totals = np.bincount(pairs // V, counts, minlength=text.n_contexts).astype(np.int64)
        chosen = _enough(text, pairs, counts, kept)
        pairs, counts = pairs[chosen] + first * V, counts[chosen]
        columns.append((totals, pairs, shares[chosen]))
        if not longest:
            grown = _longer(keys, suffixes, pairs, counts, kept.contexts, V)
            keys, suffixes = (np.concatenate(both) for both in zip((keys, suffixes), grown, strict=True))
            ends.append(len(keys))
            text.grow(grown[0] - first * V)
    totals, pairs, shares = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return _most_frequent(Counts(keys, suffixes, totals, pairs, shares, np.array(ends)), kept.contexts, V)


class _Contexts:
    """The context of each character of a text, for one order after the other; they wait in a scratch file.

    A pair is here `context * V + character`, with the contexts of this order numbered from 0 in the order of keys.

    Attributes:
        n_contexts: of this order.
    """

    def __init__(self, pieces: Callable[[], Iterable[Piece]], V: int) -> None:
        self._pieces, self._V, self._order, self.n_contexts = pieces, V, 0, 1
        self._file: Path | None = None

    @property
    def none(self) -> int:
        """Stands for a pair whose context is not kept, or whose character has no count."""
        return self.n_contexts * self._V

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """Yields the pair of each character, int64 [n]; what stood before its context, V at the start; who wrote it."""
        before = np.full(self._order + 1, self._V)
        with self._file.open("rb") if self._file else nullcontext() as file:
            for ids, writers in _gathered(self._pieces()):
                with_run_up = np.concatenate([before, ids])
                before = with_run_up[len(ids) :]
                contexts = np.fromfile(file, np.int32, len(ids)) if file else np.full(len(ids), ROOT, np.int32)
                pairs = contexts * np.int64(self._V) + ids
                pairs[(contexts == ABSENT) | ~is_known(ids, self._V)] = self.none
                yield pairs, with_run_up[: len(ids)].clip(max=self._V), writers

    def grow(self, pairs: np.ndarray) -> None:
        """Goes on to the next order, whose contexts are these pairs, rising.

        Raises:
            UserError: there is no room for temporary files.
        """
        path, last = scratch_file("contexts"), np.full(1, ABSENT, np.int32)
        places = finder(pairs, self.none)
        try:
            with path.open("wb") as file:
                for own, _, _ in self.pairs():
                    contexts = np.concatenate([last, places(own).astype(np.int32)])
                    last = contexts[len(own) :]
                    file.write(contexts[: len(own)].tobytes())
        except OSError as error:
            raise UserError(f"{path} cannot be written ({reason(error)}): free some room, or set TMPDIR.") from error
        if self._file:
            self._file.unlink()
        self._file, self._order, self.n_contexts = path, self._order + 1, len(pairs)


def _gathered(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Joins pieces, so that what is sorted at once is large and the merging little."""
    held: list[Piece] = []
    for piece in pieces:
        held.append(piece)
        if sum(len(ids) for ids, _ in held) >= _AT_ONCE:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(pieces: Sequence[Piece]) -> Piece:
    ids, writers = zip(*pieces, strict=True)
    return np.concatenate(ids), None if writers[0] is None else np.concatenate(writers)


def _tallied(text: _Contexts, V: int, *, raw: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of an order, rising; how often each is there; and after how many different characters, unless `raw`."""
    tally, bound = Tally(), 1 if raw else V + 1
    for pairs, before, _ in text.pairs():
        counted = pairs != text.none
        tally.add(pairs[counted] * bound + (0 if raw else before[counted]))
    return runs(tally.keys // bound, tally.counts)


def _enough(text: _Contexts, pairs: np.ndarray, counts: np.ndarray, kept: Kept) -> np.ndarray:
    """Which pairs occur so often, or were written by enough people, bool; who wrote is asked of the others alone."""
    often = counts >= kept.occurrences
    asked = pairs[~often & (counts >= kept.people)]
    if not len(asked):
        return often
    places, people = finder(asked, text.none), Different(MOST_PEOPLE, kept.people)
    for own, _, writers in text.pairs():
        if writers is None:
            return often
        found = places(own)
        wanted = found != ABSENT
        people.add(found[wanted], writers[wanted])
    often[find(pairs, asked[people.reached()])] = True
    return often


def _after(keys: np.ndarray, contexts: np.ndarray, ids: np.ndarray, V: int) -> np.ndarray:
    """The contexts that are one id longer, [n]; ABSENT where there is none."""
    return np.where(contexts == ABSENT, ABSENT, find(keys, contexts * V + ids))


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
