"""Reads the messages, once, and counts all that must be known before the first of them is encoded.

`corpus` has them wait in memory, `prepared.writing` on disk.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from charflow.pipeline.code_points import COUNTED
from charflow.pipeline.corpus.held_out import Tails
from charflow.pipeline.corpus.joined_texts import JoinedTexts, JoinedTextsOnDisk, first_texts
from charflow.pipeline.corpus.kept_texts import Tally, kept_texts, separator
from charflow.pipeline.formats.messages import Messages

if TYPE_CHECKING:
    from charflow.pipeline.corpus.settings import CorpusSettings


class Gathered(NamedTuple):
    """What is known of the messages.

    Attributes:
        n_used: how many of those that wait are used, from the first on.
        dropped: rows left out, by reason.
        tails: which of them are held out, all counted.
        counts: of their characters, separators between them included, int64 [COUNTED]; zeros where nobody asked.
    """

    n_used: int
    dropped: dict[str, int]
    tails: Tails
    counts: np.ndarray


def gather(
    messages: Messages,
    settings: "CorpusSettings",
    kept: list[JoinedTexts] | JoinedTextsOnDisk,
    *,
    counting: bool,
    progress: Callable[[float], None] = lambda _: None,
) -> Gathered:
    """Appends the messages that count to `kept`, a batch at a time.

    Where a fraction of them is used, they are gone through a second time: how many that are is known at the end.

    Args:
        messages: of the files.
        settings: which of them count.
        kept: where they wait, nothing in it.
        counting: whether characters are counted.
        progress: is told the share that is read.

    Raises:
        UserError: no message is left.
    """
    tally, counts, tails = Tally(messages, settings), np.zeros(COUNTED, np.int64), Tails(settings.held_out)

    def count(batch: JoinedTexts) -> None:
        tails.count(batch.whose)
        if counting:
            batch.count_in(counts, settings.text)

    whole = settings.fraction == 1
    for texts, whose, verdicts in kept_texts(messages, settings):
        batch = JoinedTexts.of(texts, whose, settings.text)
        kept.append(batch)
        tally.add(verdicts)
        if whole:
            count(batch)
        progress(tally.rows / messages.rows)
    left = n_used = tally.used()
    if not whole:
        for batch in first_texts(kept, n_used):
            count(batch)
            left -= len(batch.whose)
            progress(1 - left / n_used)
    if counting and not settings.text.ends:
        counts[ord(separator(settings.text))] -= 1  # the last message has none
    return Gathered(n_used, tally.dropped(n_used), tails, counts)
