"""Counts what `scrub` would replace in a chat, with masked examples, whether or not anything is replaced.

`explore` shows it the messages as they stand in the file: what normalisation makes of them is not counted. K is the
number of messages in a batch in which a kind was found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from charflow.pipeline.scrub import KINDS, Kind

_EXAMPLES = 2  # of each kind, different ones
_LONGEST_SHOWN = 12  # characters of a masked example
_SHORTEST_SHOWN = 8  # of shorter finds, the ends would be nearly all there is


@dataclass
class Found:
    """What was found of one kind.

    Attributes:
        kind: its noun.
        count: how often.
        messages: in how many messages.
        examples: some, masked.
    """

    kind: str
    count: int = 0
    messages: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, kind: Kind, texts: Sequence[bytes], counts: np.ndarray) -> None:
        """Adds messages, [K], that have so many finds of a kind."""
        self.count += int(counts.sum())
        self.messages += len(counts)
        if len(texts) and len(self.examples) < _EXAMPLES:
            finds = (masked(find) for of_one in kind.finds(tf.constant(texts)) for find in of_one)
            self.examples = list(dict.fromkeys((*self.examples, *finds)))[:_EXAMPLES]


class Secrets:
    """Sums up what was found in a chat, or in a part of it; `found` has an entry for each noun of `KINDS`."""

    def __init__(self) -> None:
        self._by_noun = {kind.noun: Found(kind.noun) for kind in KINDS}

    @property
    def found(self) -> list[Found]:
        """What was found so far, in the order of the kinds."""
        return list(self._by_noun.values())

    def add(self, batch: Sequence[tuple[Sequence[bytes], np.ndarray]]) -> None:
        """Adds what `scrub.finds_in` gave of some messages: for each kind texts [K] and numbers of finds [K]."""
        for kind, (texts, counts) in zip(KINDS, batch, strict=True):
            self._by_noun[kind.noun].add(kind, texts, counts)


def masked(find: str) -> str:
    """Shows enough of a find to recognise it by, and no more.

    >>> masked("mira@example.com"), masked("@mira")
    ('mi•••••••••m', '@••••')
    """
    if len(find) < _SHORTEST_SHOWN:
        return find[:1] + "•" * (len(find) - 1)
    return f"{find[:2]}{'•' * (min(len(find), _LONGEST_SHOWN) - 3)}{find[-1]}"
