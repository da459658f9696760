"""Writes sample texts during training, as the tutorial recipe does: four temperatures, from a piece of the corpus.

`chief` calls it after the first epoch, or more often, and in the end for the best weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from charflow.model.decoding.decoder import Decoder, SamplingOptions
from charflow.model.decoding.samplers import SAMPLERS
from charflow.model.decoding.settings import LONGEST_STOP
from charflow.model.training_text import TrainingText
from charflow.pipeline.marks import readable

TEMPERATURES = (0.2, 0.5, 1.0, 1.2)
SAMPLE_CHARS = 400
_SEED_CHARS = 40


@dataclass(frozen=True)
class Sample:
    """One generated text.

    Attributes:
        step: batches trained before.
        epoch: epochs trained before, with a fraction.
        best: whether these are the run's best weights, at its end: those that export and generate take.
        temperature: of the sampling.
        seed_text: the piece of the corpus that it continues.
        text: what it wrote.
    """

    step: int
    epoch: float
    best: bool
    temperature: float
    seed_text: str
    text: str


class SampleWriter:
    """Continues a random piece of the training text at all temperatures at once; traced once."""

    def __init__(
        self,
        decoder: Decoder,
        text: TrainingText,
        *,
        seed: int,
        temperatures: Sequence[float] = TEMPERATURES,
        chars: int = SAMPLE_CHARS,
    ) -> None:
        self._decoder, self._text, self._seed = decoder, text, seed
        self._temperatures, self._chars = tuple(temperatures), chars
        self._write = tf.function(self._write_ids, autograph=False)

    def __call__(self, step: int, *, epoch: float, best: bool = False) -> Iterator[Sample]:
        """Yields one sample a temperature; the piece of the corpus depends on (seed, step)."""
        places = max(1, self._text.train_characters - _SEED_CHARS)
        start = int(np.random.default_rng([self._seed, step]).integers(places))
        seed_ids = self._text.piece(start, _SEED_CHARS)
        written = self._write(tf.constant(seed_ids, tf.int32), tf.constant(self._seed, tf.int64)).numpy()
        decode = self._text.vocabulary.decode
        for temperature, row in zip(self._temperatures, written, strict=True):
            yield Sample(step, epoch, best, temperature, readable(decode(seed_ids)), readable(decode(row)))

    def _write_ids(self, seed_ids: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        rows = len(self._temperatures)
        state = self._decoder.read(
            self._decoder.context.zero_state(rows),
            tf.repeat(seed_ids[tf.newaxis], rows, axis=0),
            tf.fill([rows], tf.size(seed_ids)),
        )
        options = SamplingOptions(
            max_chars=tf.fill([rows], self._chars),
            temperature=tf.constant(self._temperatures),
            samplers=tuple(tf.fill([rows], tf.constant(each.off, each.dtype)) for each in SAMPLERS),
            seed=tf.fill([rows], seed),
            stop_ids=tf.fill([rows, LONGEST_STOP], -1),
        )
        tail = tf.zeros([rows, LONGEST_STOP], tf.int32)
        return self._decoder.write(state, tail, tf.zeros([rows], tf.int64), options).ids
