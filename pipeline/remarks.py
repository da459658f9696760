"""Remarks on a corpus before anything is trained on it: what is odd about the text, and which setting helps.

The commands print them beside its size. Nothing here is wrong for certain, so nothing is refused. V is the vocabulary
size; the counts are by id, [V], of what is to be learned.
"""

from collections.abc import Iterator

import numpy as np

from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.kept_texts import LITTLE
from charflow.pipeline.errors import counted
from charflow.pipeline.marks import END, UNKNOWN_ID
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.read_only import is_learned
from charflow.pipeline.scrub import count_finds
from charflow.pipeline.vocabulary import Vocabulary
from charflow.sentences import Sentence, listed

_AT_ONCE = 1 << 20  # ids
_MIN_COUNTS = (2, 3, 5, 10, 20, 50, 100)
_MOST_LOST = 1 / 2000  # of the text, to characters that are rarer
_FEWEST_RARE, _LEAST_RARE = 64, 1 / 4  # characters worth a word: so many, and this much of the distinct ones
_MOST_UNKNOWN = 1 / 100  # of the text
_SEARCHED = 1 << 21  # characters looked through for what tells who somebody is: half a second
_MOST_DIGITS = 2 / 5  # of what is no blank; hexadecimal ids and dates have more, talk has less


def remarks(corpus: Corpus | PreparedCorpus, *, judged: bool = True, starts: bool = False) -> list[Sentence]:
    """Looks at the characters of a corpus, each remark a sentence; there are none on most.

    Args:
        corpus: whose text it is.
        judged: whether a model is to be judged by what is held out of it.
        starts: whether a run on it starts from another, in whose vocabulary it is read.

    >>> list(map(str, remarks(Corpus.from_csv("chat.csv"))))  # doctest: +SKIP
    ['809 of the 977 distinct characters occur less than 50 times and make 0.04% of the text: min_count=50 ...']
    """
    counts = np.zeros(corpus.vocabulary.size, np.int64)
    for ids in _pieces(corpus):
        counts += np.bincount(ids[is_learned(ids, len(counts))], minlength=len(counts))
    found = [
        _on_questions(corpus, int(counts.sum())),
        _on_held_out(corpus) if judged else None,
        *([_on_new(counts), _on_tail(corpus)] if starts else [_on_rare(counts), _on_unknown(counts)]),
        _on_digits(counts, corpus.vocabulary),
        _on_sameness(corpus),
        _on_secrets(corpus),
    ]
    return [remark for remark in found if remark]


def _pieces(corpus: Corpus | PreparedCorpus) -> Iterator[np.ndarray]:
    read = corpus.read if isinstance(corpus, PreparedCorpus) else lambda start, stop: corpus.ids[start:stop]
    n_ids = _length(corpus)
    return (read(start, min(start + _AT_ONCE, n_ids)) for start in range(0, n_ids, _AT_ONCE))


def _length(corpus: Corpus | PreparedCorpus) -> int:
    return corpus.characters if isinstance(corpus, PreparedCorpus) else len(corpus.ids)


def _on_questions(corpus: Corpus | PreparedCorpus, learned: int) -> Sentence | None:
    if not corpus.vocabulary.replies:
        return None
    return Sentence(
        f"{_length(corpus) - learned:,} of the {counted(_length(corpus), 'character')} are what others wrote before "
        "the answers, which is read and not learned."
    )


def _on_held_out(corpus: Corpus | PreparedCorpus) -> Sentence | None:
    length = _length(corpus)
    if not corpus.held_out_characters or (judged := corpus.count_learned(corpus.split, length)) >= LITTLE:
        return None
    return Sentence(
        "Too little is held out to judge by, or to choose the best weights by "
        f"({counted(judged, 'character')}): take more messages, or hold out a larger share of them."
    )


def _on_rare(counts: np.ndarray) -> Sentence | None:
    """Every distinct character costs weights and time at each step; what occurs a few times is never learned."""
    known, total = counts[UNKNOWN_ID + 1 :], counts.sum()
    fits = [limit for limit in _MIN_COUNTS if known[known < limit].sum() <= total * _MOST_LOST]
    if not fits:
        return None
    rare = known[known < fits[-1]]
    if len(rare) < max(_FEWEST_RARE, len(known) * _LEAST_RARE):
        return None
    limit = next(limit for limit in fits if (known < limit).sum() == len(rare))
    return Sentence(
        f"{len(rare):,} of the {len(known):,} distinct characters occur less than {limit} times and make "
        f"{rare.sum() / total:.2%} of the text: {{limit}} reads them as [UNK], for a smaller, faster model.",
        limit={"min_count": limit},
    )


def _on_new(counts: np.ndarray) -> Sentence | None:
    if not counts[UNKNOWN_ID]:
        return None
    new = counted(int(counts[UNKNOWN_ID]), "character")
    return Sentence(
        f"{new} of the text ({counts[UNKNOWN_ID] / counts.sum():.2%}) are new to the run that this one starts from, "
        "and read as [UNK]."
    )


def _on_tail(corpus: Corpus | PreparedCorpus) -> Sentence | None:
    """Where the tail is cut by characters (see `tail_start`), a run on everybody has learned what stands before it."""
    end = corpus.vocabulary.encode(END)[0]
    if end == UNKNOWN_ID or isinstance(corpus, PreparedCorpus):  # that one's tail may be larger than memory
        return None
    if np.count_nonzero(corpus.held_out_ids == end) == corpus.held_out_messages:
        return None
    return Sentence(
        "The last messages are too short to judge by: some before them are judged, too, which the run that this one "
        "starts from may have learned."
    )


def _on_unknown(counts: np.ndarray) -> Sentence | None:
    share = counts[UNKNOWN_ID] / counts.sum()
    if share <= _MOST_UNKNOWN:
        return None
    return Sentence(
        f"{share:.0%} of the text reads as [UNK], which the model then writes as well: lower {{min_count}}."
    )


def _on_digits(counts: np.ndarray, vocabulary: Vocabulary) -> Sentence | None:
    digit = np.array([False, *(char.isdigit() for char in vocabulary.chars)])
    blank = np.array([False, *(char.isspace() for char in vocabulary.chars)])
    share = counts[digit].sum() / max(1, counts[~blank].sum())
    if share <= _MOST_DIGITS:
        return None
    return Sentence(
        f"{share:.0%} of the text are digits: if these are dates or ids, name the messages with {{text_column}}."
    )


def _on_sameness(corpus: Corpus | PreparedCorpus) -> Sentence | None:
    """Equal messages make a text that repeats itself after each message and its separator."""
    period, rest = divmod(_length(corpus) + 1, corpus.messages)
    first = next(_pieces(corpus))
    if rest or corpus.messages < 3 or 2 * period > len(first) or not np.array_equal(first[period:], first[:-period]):
        return None
    return Sentence("All messages are the same: is this the column of the messages? Name another with {text_column}.")


def _on_secrets(corpus: Corpus | PreparedCorpus) -> Sentence | None:
    length, read = 0, []
    for ids in _pieces(corpus):
        read.append(corpus.vocabulary.decode(ids))
        length += len(ids)
        if length >= _SEARCHED:
            break
    found = count_finds("".join(read))
    if not found:
        return None
    where = "The text holds" if length == _length(corpus) else f"The first {length:,} characters of the text hold"
    what = listed([counted(count, noun) for noun, count in found.items()])
    return Sentence(f"{where} {what}: {{scrub}} puts placeholders in their place.")
