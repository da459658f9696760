"""Writes sample texts during training, as the tutorial recipe does: four temperatures, from a piece of the corpus.

`chief` calls it after the first epoch, or more often, and in the end for the best weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charflow.model.decoding.writer import Writer
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
    """Continues a random piece of the training text at all temperatures at once."""

    def __init__(
        self,
        write: Writer,
        text: TrainingText,
        *,
        seed: int,
        temperatures: Sequence[float] = TEMPERATURES,
        chars: int = SAMPLE_CHARS,
    ) -> None:
        self._write, self._text, self._seed = write, text, seed
        self._temperatures, self._chars = tuple(temperatures), chars

    def __call__(self, step: int, *, epoch: float, best: bool = False) -> Iterator[Sample]:
        """Yields one sample a temperature; the piece of the corpus depends on (seed, step)."""
        places = max(1, self._text.train_characters - _SEED_CHARS)
        start = int(np.random.default_rng([self._seed, step]).integers(places))
        seed_ids = self._text.piece(start, _SEED_CHARS)
        seeds = [self._seed] * len(self._temperatures)
        written = self._write(seed_ids, self._chars, temperatures=self._temperatures, seeds=seeds)
        decode = self._text.vocabulary.decode
        for temperature, row in zip(self._temperatures, written, strict=True):
            yield Sample(step, epoch, best, temperature, readable(decode(seed_ids)), readable(decode(row)))
