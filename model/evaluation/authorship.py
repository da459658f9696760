"""Ranks who of some people would have written a text, by how likely the run of each makes it.

`charflow who` prints what comes of it; `author_accuracy` measures how often it is right. P is the number of people, M
that of messages.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from charflow.model.decoding.generator import Generator
from charflow.model.decoding.text_model import TextModel
from charflow.model.run.run_dir import RunDir, runs_in
from charflow.pipeline.code_points import CODE_POINTS
from charflow.pipeline.corpus.kept_texts import kept_texts
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.corpus.users import with_ids
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.messages import read_messages
from charflow.pipeline.settings import checked
from charflow.pipeline.text import normalise
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.vocabulary import Vocabulary

_ROWS, _CHARACTERS = 256, 1 << 15  # messages, and characters of them with padding, that are scored together
_UNKNOWN = float(np.log(CODE_POINTS))  # nats of a character that a model does not know, and another does


@dataclass(frozen=True)
class Likelihoods:
    """How likely the models of some people make some messages.

    Attributes:
        nats: negative natural logarithms of the probabilities of whole messages, their ends too, float64 [P, M].
        characters: that were scored of each, int64 [M].
    """

    nats: np.ndarray
    characters: np.ndarray


@dataclass(frozen=True)
class Ranked:
    """How likely somebody has written a text.

    Attributes:
        person: who.
        bits_per_char: of all its messages under their model.
        posterior: the share of their model among all, each of which was as likely before; it takes the models at their
            word, and one of these people for the author.
    """

    person: str
    bits_per_char: float
    posterior: float


class Authors:
    """People, each with a run.

    Args:
        folder: of their runs, each a folder that is called as the person is.

    Attributes:
        runs: theirs.
        names: theirs, [P].
        text: how their texts were normalised.

    Raises:
        UserError: the folder has fewer than two runs, they were trained on texts that cannot be compared, or one of
            them is damaged.
    """

    @checked
    def __init__(self, folder: Path | str) -> None:
        self.runs = runs_in(Path(folder))
        self.names = [run.path.name for run in self.runs]
        if len(self.runs) < 2:
            raise UserError(f"{folder} has the run of {self.names[0]} only: there is nobody to tell them from.")
        self.text = _common_text(self.runs)

    def likelihoods(self, messages: Sequence[str], progress: Callable[[float], None] = lambda _: None) -> Likelihoods:
        """Scores every message under every model, each for itself.

        A character that only some of the models know costs the others as much as one of all code points; what none
        knows does not count. Models that are alike but for their weights share one graph.

        Args:
            messages: [M].
            progress: is told the share that is done.

        Raises:
            UserError: there is no text, none of the models knows a character of it, or one of them is damaged.
        """
        if not any(messages):
            raise UserError("There is no text to tell an author by: give one that is not empty.")
        texts = [text.decode() for text in normalise(tf.constant(list(messages)), self.text).numpy()]
        # One at a time: there may be many. Without their memories: what everybody wrote speaks for nobody.
        loaded = (Generator.load(run.path, memory=False) for run in self.runs)
        graphs: dict[object, _Graph] = {}
        nats, known = np.zeros([len(self.runs), len(texts)]), []
        for person, generator in enumerate(loaded):
            model = generator.text_model
            alike = (generator.vocabulary, self.text, tuple((each.shape, each.dtype) for each in model.variables))
            graph = graphs.setdefault((*alike, *map(str, _shape(self.runs[person]))), _Graph(model))
            nats[person] = graph(model, messages)
            known.append(_known(texts, generator.vocabulary))
            progress((person + 1) / len(self.runs))
        counts, unknown = _counts(known)
        if not counts.any():
            raise UserError("No character of the text is in the vocabulary of any of the models.")
        return Likelihoods(nats + unknown * _UNKNOWN, counts + bool(self.text.ends))

    def rank(self, messages: Sequence[str]) -> list[Ranked]:
        """Ranks who has written these messages, all of them one person: the likeliest first.

        Raises:
            UserError: as `likelihoods`.
        """
        found = self.likelihoods(messages)
        nats, characters = found.nats.sum(axis=1), int(found.characters.sum())
        posterior = np.exp(nats.min() - nats)
        bits, shares = nats / np.log(2) / characters, posterior / posterior.sum()
        order = np.argsort(nats, kind="stable")
        return [Ranked(self.names[each], float(bits[each]), float(shares[each])) for each in order]


def messages_of(
    data: Sequence[str], text: TextSettings, *, users: Sequence[str] = (), csv: Mapping[str, Any] | None = None
) -> list[str]:
    """Reads the messages of chats, or of some of their users; none where no chat is named.

    Args:
        data: files or globs.
        text: how their characters are treated; see `Authors`.
        users: ids or names; everybody by default.
        csv: settings of `CsvFormat`.

    Raises:
        UserError: whatever is wrong with the files, or a user is not in them.
    """
    if not data:
        return []
    settings = CorpusSettings(users=tuple(users), text=replace(text, reply=False), csv=CsvFormat(**csv or {}))
    messages = read_messages(data, settings.csv)
    batches = kept_texts(messages, with_ids(settings, messages))
    return [each.decode() for texts, *_ in batches for each in texts.numpy()]


class _Graph:
    """Scores messages with whatever weights; traced once.

    Args:
        model: the first of those whose weights it takes.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model
        signature = [tf.TensorSpec([None], tf.string)]
        self._score = tf.function(self._nats, input_signature=signature, autograph=False)

    def _nats(self, texts: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(tf.cast(self._model.score(texts).char_log_probs, tf.float64), axis=1)

    def __call__(self, model: TextModel, messages: Sequence[str]) -> np.ndarray:
        """Scores messages with the weights of a model, float64 [M]."""
        if model is not self._model:
            for own, other in zip(self._model.variables, model.variables, strict=True):
                own.assign(other)
        nats, order = np.zeros(len(messages)), sorted(range(len(messages)), key=lambda place: len(messages[place]))
        while order:
            rows = max(1, min(_ROWS, _CHARACTERS // max(1, len(messages[order[-1]]))))
            places, order = order[-rows:], order[:-rows]
            nats[places] = self._score(tf.constant([messages[place] for place in places])).numpy()
        return nats


def _common_text(runs: Sequence[RunDir]) -> TextSettings:
    first = runs[0].load()[0].corpus.text
    for run in runs[1:]:
        if run.load()[0].corpus.text != first:
            raise UserError(
                f"{run.path} was trained on text that was treated otherwise than that of {runs[0].path.name}, and what "
                "they say of one cannot be compared: train both with the same settings of the text."
            )
    return first


def _shape(run: RunDir) -> tuple[object, ...]:
    network = run.load()[0].network
    return network.cell, network.units, network.layers


def _known(texts: Sequence[str], vocabulary: Vocabulary) -> list[np.ndarray]:
    return [vocabulary.encode(text) != 0 for text in texts]


def _counts(known: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Counts the characters that anybody knows, [M], and how many of these each person does not, [P, M]."""
    anybody = [np.any(each, axis=0) for each in zip(*known, strict=True)]
    counts = np.array([each.sum() for each in anybody])
    return counts, counts - np.array([[own.sum() for own in person] for person in known])
