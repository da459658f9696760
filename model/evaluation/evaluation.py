"""Measures a model on text it was not trained on: bits per character and accuracy.

`trainer` calls it during a run, `charflow evaluate` afterwards; both through `decoder`, which is what will serve.
A run is judged by one figure, that of its held-out text (`MOST_SCORED` characters of it at most); what is scored while
it trains is a part of that text, and is called so wherever it is written.
R is the number of rows that are read side by side, T the characters of a row.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from charflow.model.decoding.decoder import Decoder
from charflow.model.training_text import TrainingText
from charflow.pipeline.errors import UserError
from charflow.pipeline.marks import UNKNOWN_ID
from charflow.pipeline.read_only import is_known, is_learned, plain

_MOST_ROWS = 64
_LEAST_ROW = 256  # characters; shorter texts are read in fewer rows
_SEGMENT = 1 << 20  # characters scored together, so that memory does not grow with the text
_COLUMNS = 256  # characters of each row scored in one call, so that it lasts a fraction of a second
RUN_UP = 100  # characters read, not scored, before each row, so that cutting the text costs no context
MOST_SCORED = 1 << 22  # held-out characters that a run is judged by: half a minute on a CPU, exact to 0.002 bits
PART = 1 << 15  # held-out characters, the first ones, that are scored again and again while a run trains


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text.

    Attributes:
        bits_per_char: mean negative base-2 logarithm of the probability of each known character.
        accuracy: share of known characters that were the most likely one.
        characters: how many were scored.
        unknown_characters: characters outside the vocabulary, read but not scored.
    """

    bits_per_char: float
    accuracy: float
    characters: int
    unknown_characters: int


class Evaluator:
    """Scores texts with one decoder; its graph is traced once.

    Args:
        decoder: of the network.
        progress: told every fraction of a second how many characters have been read; what it raises ends the scoring.
    """

    def __init__(self, decoder: Decoder, progress: Callable[[int], None] = lambda _: None) -> None:
        self._decoder, self._progress = decoder, progress
        state = tuple(tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in decoder.context.zero_state(1))
        self._score = tf.function(
            decoder.score, input_signature=[state, tf.TensorSpec([None, None], tf.int32)], autograph=False
        )

    def __call__(self, ids: np.ndarray, *, before: np.ndarray) -> Evaluation:
        """Scores `ids` [N] as the continuation of `before`, whose end gives each row of `ids` its run-up.

        Of both the read-only ones are read, and not scored.
        Where `before` is shorter than the run-up, every row gets as little, which costs it some context.

        Raises:
            UserError: there is nothing to score.
        """
        if not len(ids):
            raise UserError("There is no held-out text to evaluate on: give more messages or a larger held-out share.")
        parts = []
        for start in range(0, len(ids), _SEGMENT):
            parts.append(self._score_segment(ids[start : start + _SEGMENT], before[-RUN_UP:], done=start))
            before = ids[start : start + _SEGMENT]
        nats, hits, scored, characters = (sum(part) for part in zip(*parts, strict=True))
        if not scored:
            raise UserError("No character of the text is in the model's vocabulary.")
        return Evaluation(
            bits_per_char=float(nats / scored / math.log(2)),
            accuracy=float(hits / scored),
            characters=int(scored),
            unknown_characters=int(characters - scored),
        )

    def _score_segment(self, ids: np.ndarray, before: np.ndarray, *, done: int) -> tuple[float, int, int, int]:
        """Sums over the learned `ids`: nats and hits of the known characters, their number, the number of all."""
        run_up, size = len(before), self._decoder.vocabulary_size
        rows, inside = side_by_side(ids, before)
        log_probs, hits = (part[:, run_up:] for part in self._score_rows(plain(rows, size), done))
        inside, rows = inside[:, run_up:], rows[:, run_up:]
        judged, scored = inside & is_learned(rows, size), inside & is_known(rows, size)
        nats = -log_probs[scored].sum(dtype=np.float64)
        return float(nats), int(hits[scored].sum()), int(scored.sum()), int(judged.sum())

    def _score_rows(self, rows: np.ndarray, done: int) -> tuple[np.ndarray, np.ndarray]:
        state = self._decoder.context.zero_state(len(rows))
        log_probs, hits = [], []
        for start in range(0, rows.shape[1], _COLUMNS):
            columns = rows[:, start : start + _COLUMNS]
            state, *found = self._score(state, columns)
            log_probs.append(found[0].numpy())
            hits.append(found[1].numpy())
            self._progress(done + len(rows) * (start + columns.shape[1]))
        return np.concatenate(log_probs, axis=1), np.concatenate(hits, axis=1)


def side_by_side(ids: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a text into rows, each after a run-up of as many characters as `before` has.

    Args:
        ids: [N].
        before: what they continue.

    Returns:
        The rows with their run-up, int32 [R, T], and what of them is text and not beyond its end, bool [R, T].
    """
    text = np.concatenate([before, ids]).astype(np.int32)
    n_rows = max(1, min(_MOST_ROWS, len(ids) // _LEAST_ROW))
    length = -(-len(ids) // n_rows)
    places = np.arange(n_rows)[:, None] * length + np.arange(len(before) + length)
    inside = places < len(text)
    return np.where(inside, text[places.clip(max=len(text) - 1)], UNKNOWN_ID), inside


def evaluate_held_out(evaluate: Evaluator, text: TrainingText, most: int) -> Evaluation | None:
    """Scores the first `most` characters that were held out of a run's text; None where there is nothing to score."""
    ids = text.held_out(most)
    return evaluate(ids, before=text.end(RUN_UP)) if is_known(ids, text.vocabulary.size).any() else None
