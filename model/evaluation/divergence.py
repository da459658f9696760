"""Tells a run that has gone wrong from one that has a hard time: its loss against that of guessing.

`trainer` shows it the loss of every step; `export` judges by the same limit what was trained. Guessing gives each of V
characters the same chance and takes log2(V) bits a character: an untrained network takes as many, within a few
hundredths. One that takes twice as many is sure of what is wrong. V is the vocabulary's size, `[UNK]` included.
"""

import math

import numpy as np

# Measured on the sample chat (32 units, adam, no warm-up): at a rate of 0.3 single steps reach 1.2 times the loss of
# guessing, at 1.0 they reach 2.9 times and the run still comes back to 0.8; the median of a hundred stays below 1.
_TIMES_WORSE = 2.0
_NO_RETURN = 1e4  # bits a character
_STEPS = 100  # whose median is looked at: some bad steps are no sign


def guess_bits(characters: int) -> float:
    """Bits a character that guessing among so many takes.

    >>> guess_bits(32)
    5.0
    """
    return math.log2(max(1, characters))


def is_far_worse_than_guessing(bits: float, vocabulary_size: int) -> bool:
    """Whether a training loss of so many bits a character is out of the question for a network that learns."""
    return not bits <= _TIMES_WORSE * guess_bits(vocabulary_size)  # what is no number is


def is_beyond_return(bits: float) -> bool:
    """Whether so many bits a character, or what is no number, will not come back, at whatever moment."""
    return not bits < _NO_RETURN


class LossWatch:
    """Sees the loss of every step of a session.

    Args:
        vocabulary_size: V.
    """

    def __init__(self, vocabulary_size: int) -> None:
        self._vocabulary_size, self._recent = vocabulary_size, np.zeros(0)

    def sign(self, losses: np.ndarray, *, last: bool) -> float | None:
        """Takes the losses of the next steps, nats; gives the bits a character that show that the run has diverged.

        Args:
            losses: [steps].
            last: whether the run ends with them, so that there will be no more to wait for.
        """
        if not np.isfinite(losses).all():
            return math.nan
        if is_beyond_return(mean := float(losses.mean()) / math.log(2)):
            return mean
        self._recent = np.concatenate([self._recent, losses])[-_STEPS:]
        known = last or len(self._recent) == _STEPS
        judged = self._recent[len(self._recent) // 2 :] if last else self._recent  # a run may have come back in the end
        median = float(np.median(judged)) / math.log(2)
        return median if known and is_far_worse_than_guessing(median, self._vocabulary_size) else None
