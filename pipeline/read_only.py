"""Characters that are read and not learned: in a corpus of replies, what others wrote before each answer.

One array of ids says both: one below V is learned; one from V on is the character `id - V`, read only, which is never a
target and never judged. So whatever cuts, shuffles, stores or streams ids need not know of it; `corpus` and
`prepared.writing` mark the characters while they are still code points, `training` and `evaluation` look at the ids.
V is the vocabulary size.

    >>> ids = np.array([7, 8, 2, 3])  # of V = 5: two that are read, and the answer
    >>> plain(ids, 5).tolist(), is_learned(ids, 5).tolist()
    ([2, 3, 2, 3], [False, False, True, True])
"""

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from charflow.pipeline.code_points import CODE_POINTS
from charflow.pipeline.marks import END, REPLY, UNKNOWN_ID

if TYPE_CHECKING:
    import tensorflow as tf

Ids = TypeVar("Ids", np.ndarray, "tf.Tensor")


def plain(ids: Ids, size: int) -> Ids:
    """Gives the characters' own ids, whoever wrote them; their type holds V."""
    return ids % size


def is_learned(ids: Ids, size: int) -> Ids:
    """Says which ids are to be learned, and judged by."""
    return ids < size


def is_known(ids: np.ndarray, size: int) -> np.ndarray:
    """Says which of those are characters of the vocabulary, so that they have a probability."""
    return is_learned(ids, size) & (ids != UNKNOWN_ID)


class ReadOnlyMarker:
    """Marks the read-only code points of a text that comes in pieces and begins with a message.

    >>> ReadOnlyMarker()(np.array([ord(char) for char in f"a{REPLY}b{END}"]))[-2:].tolist()
    [98, 3]
    """

    def __init__(self) -> None:
        self._answering = 0  # 1 from `REPLY` to `END`

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Adds `CODE_POINTS` to what stands before each answer, `REPLY` too; uint32 [n]."""
        turns = (points == ord(REPLY)).astype(np.int64) - (points == ord(END))
        answering = self._answering + np.cumsum(turns)  # after each
        self._answering = int(answering[-1]) if len(answering) else self._answering
        return np.where(answering - turns, points, points + np.uint32(CODE_POINTS)).astype(np.uint32)
