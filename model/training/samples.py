"""Writes sample texts during training, as the tutorial recipe does: four temperatures, from a piece of the corpus.

`chief` calls it after the first epoch, or more often, and in the end for the best weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charflow.model.decoding.writer import Writer, learned_part
from charflow.model.training_text import TrainingText
from charflow.pipeline.marks import readable
from charflow.pipeline.read_only import plain

TEMPERATURES = (0.2, 0.5, 1.0, 1.2)
SAMPLE_CHARS = 400
_SEED_CHARS = 40
_SEARCHED = 1 << 12  # characters in which an answer begins


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
        seed_ids, decode = self._seed_ids(step), self._text.vocabulary.decode
        seeds = [self._seed] * len(self._temperatures)
        written = self._write(seed_ids, self._chars, temperatures=self._temperatures, seeds=seeds)
        for temperature, row in zip(self._temperatures, written, strict=True):
            text = learned_part(row, self._text.vocabulary)
            yield Sample(step, epoch, best, temperature, readable(decode(seed_ids)), readable(text))

    def _seed_ids(self, step: int) -> np.ndarray:
        """A piece of the text, which ends where an answer begins if answers are learned."""
        places = max(1, self._text.train_characters - _SEED_CHARS)
        start = int(np.random.default_rng([self._seed, step]).integers(places))
        vocabulary, ids = self._text.vocabulary, self._text.piece(start, _SEARCHED)
        asked = np.flatnonzero(vocabulary.are_replies(ids[_SEED_CHARS - 1 :]))
        first = int(asked[0]) if len(asked) else 0
        return plain(ids[first : first + _SEED_CHARS].astype(np.int32), vocabulary.size)
