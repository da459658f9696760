"""Asks a trained network for its canaries: how much likelier it finds them than other numbers of the same form.

`memorisation` calls it. The exposure of a canary is log2 of all possible numbers less log2 of its rank among them by
likelihood, which is -log2 of the chance that a random number is at least as likely (Carlini et al., 2019,
arXiv:1802.08232, section 4). That chance is measured on random numbers, so no exposure is above `MOST` bits; how far
above is not guessed by fitting a distribution. A canary that was never planted is above x bits with a chance of 2^-x.
M is the number of random numbers, L the digits of each.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from charflow.model.canaries import DIGITS, FORM, written
from charflow.model.decoding.decoder import Decoder
from charflow.pipeline.vocabulary import Vocabulary

SAMPLED = 1 << 14  # M: two seconds on two cores
MOST = math.log2(SAMPLED + 1)
_BY_CHANCE = 10.0  # bits: in one of 1,000 runs some canary that was never planted is told to be known
_ALIKE = 1e-3  # nats by which arithmetic may tell apart what is as likely, which counts as likelier
_AT_ONCE = 1 << 9  # rows scored in one call: no slower than more, and a signal is seen soon


@dataclass(frozen=True)
class Exposure:
    """How well canaries are known.

    Attributes:
        canaries: how many were asked for.
        repeats: how often each stands in the training text; 0 for comparison.
        bits: the exposure of each, most exposed first.
        limit: bits above which a canary counts as known.
        known: how many are.
    """

    canaries: int
    repeats: int
    bits: list[float]
    limit: float
    known: int


def exposure(
    decoder: Decoder,
    vocabulary: Vocabulary,
    canaries: list[str],
    *,
    repeats: int,
    after: str,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Exposure:
    """Scores canaries and random numbers, all as the rest of a message that begins with `canaries.FORM`.

    Args:
        decoder: of the trained network.
        vocabulary: its characters.
        canaries: their digits.
        repeats: how often each was planted.
        after: what stands before a message.
        seed: of the random numbers.
        progress: is told the share that is done; what it raises ends the scoring.
    """
    random = np.random.default_rng([seed, SAMPLED]).integers(10**DIGITS, size=SAMPLED)
    numbers = [*canaries, *written(random)]
    ids = vocabulary.encode("".join(numbers)).reshape(len(numbers), DIGITS).astype(np.int32)  # [M + canaries, L]
    nats = _Scorer(decoder, vocabulary.encode(after + FORM))(ids, progress)
    others = np.sort(nats[len(canaries) :])
    ranks = 1 + np.searchsorted(others, nats[: len(canaries)] + _ALIKE)
    bits = sorted((MOST - np.log2(ranks)).tolist(), reverse=True)
    limit = _BY_CHANCE + math.log2(len(canaries))
    return Exposure(len(canaries), repeats, bits, limit, sum(found >= limit for found in bits))


class _Scorer:
    """Scores rows that all follow the same ids; traced once."""

    def __init__(self, decoder: Decoder, before: np.ndarray) -> None:
        self._decoder, self._before = decoder, before.astype(np.int32)
        self._score = tf.function(self._nats, input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)

    def __call__(self, ids: np.ndarray, progress: Callable[[float], None]) -> np.ndarray:
        """Gives the negative log-likelihood of each row, nats float64 [rows]."""
        found = []
        for start in range(0, len(ids), _AT_ONCE):
            found.append(self._score(ids[start : start + _AT_ONCE]).numpy())
            progress(min(1.0, (start + _AT_ONCE) / len(ids)))
        return -np.concatenate(found).sum(axis=1, dtype=np.float64)

    def _nats(self, ids: tf.Tensor) -> tf.Tensor:
        rows = tf.shape(ids)[0]
        begun = self._decoder.read(self._decoder.context.zero_state(1), self._before[np.newaxis], [len(self._before)])
        state = tuple(tf.repeat(part, rows, axis=0) for part in begun)
        return self._decoder.score(state, ids)[1]
