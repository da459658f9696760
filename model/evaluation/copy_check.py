"""Finds the longest stretch of a generated text that stands word for word in the training corpus.

`memorisation` shows by it how much of what a model writes is memory. NumPy only.
n is the length of the generated text, N that of the corpus, both in characters (code points).

    >>> longest_copied_run("say hello world", "oh, hello there")
    CopiedRun(length=7, text=' hello ', generated_start=3, corpus_start=3)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from charflow.pipeline.code_points import CODE_POINTS, points_of
from charflow.pipeline.settings import AnyText, checked

if TYPE_CHECKING:
    from charflow.model.training_text import TrainingText

LONG = 50  # characters that nobody writes twice by chance: ten words
_BETWEEN = "\ufdd4"  # samples; a noncharacter, so that no run goes from one into the next
_ABSENT = -1  # rank of a piece of corpus that does not occur in the generated text
# Measured on one core with n = 10,000 and N = 10 million characters of chat: 0.7 s; 1.1 s in a single block
# (fresh pages cost more than the arithmetic), 1.5 s without tables.
_BLOCK = 2**18  # corpus characters a step, so that its temporaries stay in the cache
_LARGEST_TABLE = 2**22  # entries; keys beyond are searched among the sorted ones
_MOST_COMPARED = 1 << 25  # characters of a training text in which copied runs are looked for
_COMPARED_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class CopiedRun:
    """A stretch of `length` characters that both texts share, and where it starts in each; length 0: none."""

    length: int
    text: str
    generated_start: int
    corpus_start: int


@dataclass(frozen=True)
class Copies:
    """What samples share with a training text.

    Attributes:
        compared: characters of the training text that were looked through.
        longest: the longest run of any of them, and where it starts in the training text; length 0: none.
        characters: of each sample, how many lie in runs of at least `LONG`.
    """

    compared: int
    longest: CopiedRun
    characters: list[int]


@checked
def longest_copied_run(generated: AnyText, corpus: AnyText) -> CopiedRun:
    """The longest substring of `generated` that occurs in `corpus`, exactly; all figures are in characters.

    Of several of that length it is the first in `generated`, at its first place in `corpus`. Without a shared
    character, or with an empty text, all figures are 0 and the text is empty. Raises nothing.

        >>> longest_copied_run("abcx", "xabcabc")
        CopiedRun(length=3, text='abc', generated_start=0, corpus_start=1)

    Prefix doubling (Karp, Miller and Rosenberg, "Rapid identification of repeated patterns in strings, trees
    and arrays", 1972): a piece of 2w characters is a pair of ranked pieces of w. Once no piece of 2w is
    shared, bisection finds the length between w and 2w, where a piece is a pair of pieces of w that overlap.
    """
    length, start = _longest(*_character_ranks(generated, corpus))
    text = generated[start : start + length]
    return CopiedRun(length=length, text=text, generated_start=start, corpus_start=corpus.find(text))


def find_copies(
    text: "TrainingText", samples: Sequence[str], progress: Callable[[float], None] = lambda share: None
) -> Copies:
    """Looks for the samples in the training text, piece by piece; the marks of messages are characters like others.

    Args:
        text: what is looked through, its first 33,554,432 characters.
        samples: what was written.
        progress: is told the share that is done before each piece; what it raises ends it.
    """
    joined = _BETWEEN.join(samples)
    copied, longest = np.zeros(len(joined), bool), CopiedRun(length=0, text="", generated_start=0, corpus_start=0)
    overlap = max(map(len, samples), default=0)  # a run that lies across two pieces is whole in the first
    compared = min(text.train_characters, _MOST_COMPARED)
    for start in range(0, compared, _COMPARED_AT_ONCE):
        progress(start / compared)
        piece = text.vocabulary.decode(text.piece(start, _COMPARED_AT_ONCE + overlap))
        run = longest_copied_run(joined, piece)
        if run.length > longest.length:
            longest = replace(run, corpus_start=start + run.corpus_start)
        if run.length >= LONG:
            copied |= copied_characters(joined, piece, length=LONG)
    ends = np.cumsum([len(sample) + len(_BETWEEN) for sample in samples])
    return Copies(compared, longest, [int(part.sum()) for part in np.split(copied, ends[:-1])])


def copied_characters(generated: str, corpus: str, *, length: int) -> NDArray[np.bool_]:
    """Says which characters of `generated` [n] lie in a run of `length` or more that stands in `corpus`; bool [n].

    >>> copied_characters("abcx", "xabcabc", length=3).tolist()
    [True, True, True, False]
    """
    ranks, width = _character_ranks(generated, corpus), 1
    while width < length:
        pieces = _paired(*ranks, min(width, length - width))
        if pieces is None:
            return np.zeros(len(generated), bool)
        ranks, width = pieces, min(2 * width, length)
    starts = np.isin(ranks[0], ranks[1][ranks[1] != _ABSENT])
    begun = np.cumsum(np.concatenate([starts, np.zeros(length, bool)]))
    return (begun - np.concatenate([np.zeros(length, int), begun[:-length]]))[: len(generated)] > 0


def _character_ranks(generated: str, corpus: str) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Each character's rank among those of the generated text: [n] and [N]."""
    characters, generated_ranks = np.unique(points_of(generated), return_inverse=True)
    table = np.full(CODE_POINTS, _ABSENT, np.int32)
    table[characters] = np.arange(len(characters))
    return generated_ranks, table[points_of(corpus)]


def _longest(generated: NDArray[np.int64], corpus: NDArray[np.int32]) -> tuple[int, int]:
    """Length of the longest shared piece and where it first starts in the generated text; takes ranks."""
    if not (corpus != _ABSENT).any():
        return 0, 0
    width = 1
    while (doubled := _paired(generated, corpus, width)) is not None:
        (generated, corpus), width = doubled, 2 * width

    # a piece of low characters is shared, none of high is
    shared, low, high = (generated, corpus), width, 2 * width
    while high - low > 1:
        middle = (low + high) // 2
        pieces = _paired(generated, corpus, middle - width)
        if pieces is None:
            high = middle
        else:
            low, shared = middle, pieces
    generated, corpus = shared
    return low, int(np.isin(generated, corpus[corpus != _ABSENT]).argmax())


def _paired(
    generated: NDArray[np.int64], corpus: NDArray[np.int32], offset: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]] | None:
    """Ranks of the wider pieces, each a piece and the one `offset` after it; None if none is shared."""
    if offset >= min(len(generated), len(corpus)):
        return None
    base = int(generated.max()) + 1
    keys, generated_ranks = np.unique(generated[:-offset] * base + generated[offset:], return_inverse=True)
    look_up = _ranker(keys, base * base)
    corpus_ranks = np.full(len(corpus) - offset, _ABSENT, np.int32)
    for start in range(0, len(corpus_ranks), _BLOCK):
        left, right = corpus[start : start + _BLOCK], corpus[start + offset : start + offset + _BLOCK]
        places = np.flatnonzero((left[: len(right)] != _ABSENT) & (right != _ABSENT))
        corpus_ranks[start + places] = look_up(left[places].astype(np.int64) * base + right[places])
    return (generated_ranks, corpus_ranks) if (corpus_ranks != _ABSENT).any() else None


def _ranker(keys: NDArray[np.int64], bound: int) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    """A function that ranks keys, all below `bound`, among the sorted `keys`, `_ABSENT` if not there."""
    if bound <= _LARGEST_TABLE:
        table = np.full(bound, _ABSENT)
        table[keys] = np.arange(len(keys))
        return table.__getitem__

    def search(wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        ranks = np.searchsorted(keys[:-1], wanted)  # without the last key, each answer is the rank of a key
        return np.where(keys[ranks] == wanted, ranks, _ABSENT)

    return search
