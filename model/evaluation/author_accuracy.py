"""Measures how often the author of held-out messages is told, beside a classifier of character n-grams.

`charflow who --held-out` prints it. P is the number of people, M that of messages.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from charflow.model.evaluation import ngram_classifier
from charflow.model.evaluation.authorship import Authors
from charflow.model.evaluation.run_evaluation import held_out_text
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.errors import UserError
from charflow.pipeline.marks import END, REPLY

AT_A_TIME = (1, 5, 20)  # messages


@dataclass(frozen=True)
class AuthorAccuracy:
    """How often the author of so many messages is told.

    Attributes:
        messages: of one person at a time, one after the other as they were written.
        tried: how often; who has fewer held-out messages is not tried.
        accuracy: share of those that were right, the mean over the people, so that each counts alike.
        n_grams: of the classifier, which has learned from as many messages at a time; None without scikit-learn.
        confusion: how often what a person (row) wrote was taken for another's (column), int [P, P].
    """

    messages: int
    tried: int
    accuracy: float
    n_grams: float | None
    confusion: np.ndarray


def measure(
    authors: Authors,
    store: CorpusCache | None = None,
    progress: Callable[[float], None] = lambda _: None,
    *,
    at_a_time: Sequence[int] = AT_A_TIME,
) -> list[AuthorAccuracy]:
    """Measures it, for each number of messages at a time that somebody has held out.

    Args:
        authors: whose runs.
        store: where encoded corpora are kept.
        progress: is told the share that is done.
        at_a_time: numbers of messages.

    Raises:
        UserError: the data of a run is gone, or was learned without where messages end; a run has nothing held out.
    """
    learned, held_out = zip(*(_messages(run, store) for run in authors.runs), strict=True)
    found = authors.likelihoods([text for own in held_out for text in own], progress)
    nats = np.split(found.nats, np.cumsum([len(own) for own in held_out])[:-1], axis=1)
    measured = []
    for size in at_a_time:
        truth = np.repeat(np.arange(len(held_out)), [len(own) // size for own in held_out])
        if not len(truth):
            continue
        told = np.concatenate([_summed(own, size).argmin(axis=0) for own in nats])
        confusion = _confusion(truth, told, len(held_out))
        measured.append(
            AuthorAccuracy(size, len(truth), _accuracy(confusion), _n_grams(learned, held_out, truth, size), confusion)
        )
    return measured


def _messages(run: RunDir, store: CorpusCache | None) -> tuple[list[str], list[str]]:
    """The messages that a run has learned, and those that are held out of it."""
    config, vocabulary = run.load()
    if not config.corpus.text.ends:
        raise UserError(f"{run.path} has not learned where messages end, and cannot be tried on single ones.")
    text = held_out_text(run, store)
    held_out = _split(vocabulary.decode(text.ids))
    if text.before.size and vocabulary.decode(text.before[-1:]) != END:
        held_out = held_out[1:]  # a message that is partly learned
    if text.train_ids is None:
        raise UserError(f"{run.path} has learned too long a text for n-grams to learn it, too.")
    if not held_out:
        raise UserError(f"{run.path} has no whole message held out.")
    return _split(vocabulary.decode(text.train_ids)), held_out


def _split(text: str) -> list[str]:
    return [message for message in text.split(END) if message]


def _n_grams(learned: Sequence, held_out: Sequence, truth: np.ndarray, size: int) -> float | None:
    if not ngram_classifier.is_installed():
        return None
    texts = [piece for own in held_out for piece in _joined(own, size)]
    told = ngram_classifier.classify([list(_joined(own, size)) for own in learned], texts)
    return _accuracy(_confusion(truth, told, len(held_out)))


def _joined(messages: Sequence[str], size: int) -> Iterable[str]:
    """Puts `size` messages at a time together, without what they answer; the last ones are left out if fewer."""
    answers = [message.rpartition(REPLY)[2] for message in messages]
    return ("\n".join(answers[start : start + size]) for start in range(0, len(answers) // size * size, size))


def _summed(nats: np.ndarray, size: int) -> np.ndarray:
    """Sums `size` messages at a time, [P, M] to [P, M // size]."""
    whole = nats[:, : nats.shape[1] // size * size]
    return whole.reshape(len(nats), -1, size).sum(axis=2)


def _confusion(truth: np.ndarray, told: np.ndarray, people: int) -> np.ndarray:
    return np.bincount(truth * people + told, minlength=people**2).reshape(people, people)


def _accuracy(confusion: np.ndarray) -> float:
    tried = confusion.sum(axis=1)
    return float((confusion.diagonal()[tried > 0] / tried[tried > 0]).mean())
