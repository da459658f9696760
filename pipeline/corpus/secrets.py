"""Counts what `scrub` would replace in a chat, with masked examples, whether or not anything is replaced.

`charflow explore` prints it. The messages are read as they stand in the file: what normalisation makes of them is not
counted. K is the number of messages in a batch in which a kind was found.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import tensorflow as tf

from charflow.pipeline.formats.messages import Messages
from charflow.pipeline.scrub import KINDS, finds_in
from charflow.pipeline.settings import Texts, checked

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

    def add(self, finds: list[str]) -> None:
        """Adds what was found in one message."""
        self.count += len(finds)
        self.messages += 1
        for example in map(masked, finds):
            if len(self.examples) < _EXAMPLES and example not in self.examples:
                self.examples.append(example)


@checked
def find_secrets(messages: Messages, ids: Texts = ()) -> tuple[list[Found], list[Found]]:
    """Reads all messages once; gives what was found of each kind in them, and in those of one person, by their ids."""
    nouns = dict.fromkeys(kind.noun for kind in KINDS)
    everybody, own = ({noun: Found(noun) for noun in nouns} for _ in range(2))
    wanted = {user.encode() for user in ids}
    for noun, by, finds in _finds(messages):
        everybody[noun].add(finds)
        if by in wanted:
            own[noun].add(finds)
    return list(everybody.values()), list(own.values())


def masked(find: str) -> str:
    """Shows enough of a find to recognise it by, and no more.

    >>> masked("mira@example.com"), masked("@mira")
    ('mi•••••••••m', '@••••')
    """
    if len(find) < _SHORTEST_SHOWN:
        return find[:1] + "•" * (len(find) - 1)
    return f"{find[:2]}{'•' * (min(len(find), _LONGEST_SHOWN) - 3)}{find[-1]}"


def _finds(messages: Messages) -> Iterator[tuple[str, bytes, list[str]]]:
    """Yields a kind's noun, a user, and what one message of theirs has of that kind."""

    @tf.autograph.experimental.do_not_convert
    def marked(users: tf.Tensor, texts: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], ...]:
        return tuple((tf.boolean_mask(users, found), shown) for found, shown in finds_in(texts))  # [K] each

    for batch in messages.dataset().map(marked, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator():
        for kind, (users, texts) in zip(KINDS, batch, strict=True):
            for user, text in zip(users, texts, strict=True):
                yield kind.noun, user, kind.finds(text.decode())
