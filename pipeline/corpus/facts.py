"""What a corpus is, in memory or prepared on disk: the facts that are kept of it, and the fingerprint that tells it.

`corpus` and `prepared` hold such texts; run folders, model cards and people are given their facts.
"""

import hashlib
from typing import Any, Protocol

import numpy as np

from charflow.pipeline.vocabulary import Vocabulary


class EncodedText(Protocol):
    """What every corpus knows of itself; see `Corpus`."""

    @property
    def vocabulary(self) -> Vocabulary: ...
    @property
    def rows(self) -> int: ...
    @property
    def dropped(self) -> dict[str, int]: ...
    @property
    def messages(self) -> int: ...
    @property
    def held_out_messages(self) -> int: ...
    @property
    def characters(self) -> int: ...
    @property
    def split(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...


def facts_of(corpus: EncodedText) -> dict[str, Any]:
    """Sums a corpus up, for people and for model cards."""
    return {
        "fingerprint": corpus.fingerprint,
        "rows": corpus.rows,
        "dropped": corpus.dropped,
        "messages": corpus.messages,
        "held_out_messages": corpus.held_out_messages,
        "characters": corpus.characters,
        "train_characters": corpus.split,
        "held_out_characters": corpus.characters - corpus.split,
        "distinct_characters": len(corpus.vocabulary.chars),
    }


class Fingerprint:
    """SHA-256 of what a model can learn from: vocabulary, ids and split. Equal for equal training data.

    Args:
        vocabulary: the characters of the ids.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._digest = hashlib.sha256("".join(vocabulary.chars).encode())

    def add(self, ids: np.ndarray) -> None:
        """Takes the next ids, [n] of the vocabulary's dtype, or their bytes, little-endian."""
        self._digest.update(np.ascontiguousarray(ids).data)

    def of(self, split: int) -> str:
        """Gives it in hexadecimal, when all ids are in and it is known where the held-out tail starts."""
        whole = self._digest.copy()
        whole.update(str(split).encode())
        return whole.hexdigest()
