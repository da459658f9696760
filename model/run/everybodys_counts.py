"""Counts of everybody, made once for all people of a chat, and kept in the cache.

`run_memory` asks for them. They are of what no person is judged by, and no person's memory is fitted to, so that they
may be those of each; where that is not certain of a person, theirs are counted for them alone.
"""

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from charflow.model.memory.counting import Counts, Kept, count_contexts
from charflow.model.run.counts_file import read_counts, write_counts
from charflow.pipeline.corpus.cache import alone
from charflow.pipeline.corpus.written import LeftOut, WrittenText

_FORMAT = 1  # raise it when other counts come of the same text and settings

Counting = Callable[[float | None], None]  # is told that counting begins, with None, and how many seconds it took
Made = TypeVar("Made")


def silently(seconds: float | None) -> None:
    """Hears of it and says nothing."""


def timed(count: Callable[[], Made], counting: Counting) -> Made:
    """Counts, and tells when."""
    counting(None)
    began = time.monotonic()
    made = count()
    counting(time.monotonic() - began)
    return made


class EverybodysCounts(NamedTuple):
    """Counts, and how much of whose text is not in them."""

    counts: Counts
    left_out: LeftOut


def everybodys_counts(
    text: WrittenText, vocabulary_size: int, kept: Kept, counting: Counting = silently
) -> EverybodysCounts:
    """Takes counts from the cache, or counts and keeps them; another process that wants the same ones waits for them.

    Args:
        text: of all people.
        vocabulary_size: V.
        kept: what is.
        counting: is told where they are not there.

    Raises:
        UserError: the files cannot be read, or the cache not written.
    """
    path = text.place("counts", [_FORMAT, *kept])
    if not path:
        return _counted(text, vocabulary_size, kept, counting)
    with alone(path):
        if found := read_counts(path, *LeftOut._fields):
            counts, left_out = found
            return EverybodysCounts(counts, LeftOut(*left_out))
        made = _counted(text, vocabulary_size, kept, counting)
        write_counts(path, made.counts, **made.left_out._asdict())
        return made


def _counted(text: WrittenText, vocabulary_size: int, kept: Kept, counting: Counting) -> EverybodysCounts:
    return timed(
        lambda: EverybodysCounts(count_contexts(text.pieces, vocabulary_size, kept), text.left_out()), counting
    )
