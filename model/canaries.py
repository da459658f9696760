"""Plants random numbers into a training text, so that it can be measured how much of such a thing a model keeps.

`training_text` and `run_evaluation` plant them into the text that they read; `evaluation.exposure` asks the trained
network for them. A canary is a message of its own, in a fixed form, whose digits come from the run's seed: nobody has
to keep them. N. Carlini et al., "The Secret Sharer: Evaluating and Testing Unintended Memorization in Neural
Networks", 2019, arXiv:1802.08232.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from charflow.model.config import Config, TrainingConfig
from charflow.pipeline.code_points import points_of
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.kept_texts import separator
from charflow.pipeline.errors import SettingError
from charflow.pipeline.marks import REPLY
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.read_only import ReadOnlyMarker
from charflow.pipeline.vocabulary import Vocabulary

FORM = "my secret number is "
DIGITS = 9
_ALL = 10**DIGITS

AnyCorpus = TypeVar("AnyCorpus", Corpus, PreparedCorpus, Corpus | PreparedCorpus)


@dataclass(frozen=True)
class PlantedCorpus(Corpus):
    """A corpus with canaries in its training part; its fingerprint and characters are those of the whole.

    Attributes:
        planted: what its facts say of them.
        inserted: their ids, one after the other.
    """

    planted: dict[str, int]
    inserted: np.ndarray

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "planted": self.planted}


def canaries_of(training: TrainingConfig) -> list[str]:
    """The digits of a run's canaries, each once."""
    random = np.random.default_rng([training.seed, _ALL])
    return written(random.choice(_ALL, training.canaries, replace=False))


def written(numbers: np.ndarray) -> list[str]:
    """Writes numbers below 10^9 with all their digits.

    >>> written(np.array([281265017, 42]))
    ['281265017', '000000042']
    """
    return [f"{number:0{DIGITS}d}" for number in numbers]


def planted(corpus: AnyCorpus, config: Config) -> AnyCorpus | PlantedCorpus:
    """Puts the canaries that a run asks for between the messages of the training part, at random, each so many times.

    The vocabulary gets the characters that it lacks. Without canaries the corpus comes back as it is.

    Raises:
        SettingError: it lacks some, and is that of the run which this one starts from.
    """
    training = config.training
    if not training.canaries:
        return corpus
    whole = corpus.load() if isinstance(corpus, PreparedCorpus) else corpus
    after = separator(config.corpus.text)
    vocabulary, ids = _with_characters(whole, f"{FORM}0123456789{after}")
    if training.starts and vocabulary != whole.vocabulary:
        raise SettingError(
            "{canaries} have characters that the run which this one starts from does not know: leave {canaries} out."
        )
    texts = [_message(f"{FORM}{digits}{after}", vocabulary) for digits in canaries_of(training)]
    random = np.random.default_rng([training.seed, _ALL, 1])
    order = random.permutation(np.repeat(np.arange(len(texts)), training.canary_repeats))
    ends = np.flatnonzero(ids[: whole.split] == vocabulary.encode(after)[0]) + 1
    places = random.choice(np.append(ends, 0), len(order))
    length = len(texts[0])
    inserted = np.concatenate([texts[each] for each in order]) if len(order) else ids[:0]
    known = {field.name: getattr(whole, field.name) for field in fields(Corpus)}
    facts = {"canaries": len(texts), "repeats": training.canary_repeats, "characters": len(inserted)}
    return PlantedCorpus(
        **{
            **known,
            "ids": np.insert(ids, np.repeat(places, length), inserted),
            "split": whole.split + len(inserted),
            "vocabulary": vocabulary,
        },
        planted=facts,
        inserted=inserted,
    )


def _with_characters(corpus: Corpus, chars: Sequence[str]) -> tuple[Vocabulary, np.ndarray]:
    """A vocabulary that has these characters too, and the ids of the corpus in it."""
    old = corpus.vocabulary
    vocabulary = Vocabulary([*old.chars, *chars])
    return vocabulary, vocabulary.ids_from(old)[corpus.ids]


def _message(text: str, vocabulary: Vocabulary) -> np.ndarray:
    """The ids of a message, which answers nothing where replies are learned."""
    if not vocabulary.replies:
        return vocabulary.encode(text)
    return vocabulary.ids_of(ReadOnlyMarker()(points_of(REPLY + text)))
