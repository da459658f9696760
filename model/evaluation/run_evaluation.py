"""Judges a trained run on its own held-out tail, or on another chat, beside models that cost nothing.

`charflow evaluate` prints what comes of it. N is the number of training characters, M of those that are scored.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from charflow.model.canaries import planted
from charflow.model.decoding.decoder import Decoder
from charflow.model.evaluation.baselines import HIGHEST_ORDER, baselines
from charflow.model.evaluation.evaluation import MOST_SCORED, RUN_UP, Evaluation, Evaluator
from charflow.model.run.base import fixed_vocabulary
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.corpus.corpus import Corpus, build_corpus
from charflow.pipeline.corpus.kept_texts import separator
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.corpus.users import AbsentUserError
from charflow.pipeline.errors import UserError
from charflow.pipeline.files import STANDARD_INPUT
from charflow.pipeline.formats.inputs import find_inputs
from charflow.pipeline.formats.messages import Messages, count_users, read_messages
from charflow.pipeline.marks import UNKNOWN_ID
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.read_only import is_learned
from charflow.pipeline.tables import differing
from charflow.pipeline.vocabulary import Vocabulary
from charflow.sentences import Sentence

_MOST_COUNTED = 1 << 25  # characters of a prepared training text that the baselines learn from


@dataclass(frozen=True)
class JudgedText:
    """What a run is judged on.

    Attributes:
        ids: to score, [M], in the run's vocabulary; read-only ones are not scored.
        before: what comes before them, for the run-up.
        available: how many characters there would be to score.
        train_ids: what the baselines learn from, [N]; None where the run's files are gone, or where they are too long.
        absent: users whom the run left out and whom this chat has not got.
    """

    ids: np.ndarray
    before: np.ndarray
    available: int
    train_ids: np.ndarray | None
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """How well a run predicts a text.

    Attributes:
        found: of the run.
        others: of other runs on the same text, by name.
        without_question: of the run on the same answers, where it has not read what they answer; None where it has not
            learned to answer.
        baselines: bits per character of models that cost nothing, which read no questions either; none where they have
            nothing to learn.
    """

    found: Evaluation
    others: dict[str, Evaluation]
    without_question: Evaluation | None
    baselines: dict[str, float]


def judge(
    decoder: Decoder,
    vocabulary: Vocabulary,
    text: JudgedText,
    *,
    others: Mapping[str, tuple[Decoder, Vocabulary]] = MappingProxyType({}),
    least_order: int = 0,
) -> Judgement:
    """Scores a text.

    Args:
        decoder: of the run.
        vocabulary: of the run.
        text: to be scored.
        others: runs to be scored on it, too, by name, each with its vocabulary; `check_comparable` has let them pass.
        least_order: of the highest n-grams: that of the run's memory.

    Raises:
        UserError: there is nothing to score.
    """
    evaluate, unasked, beside = Evaluator(decoder), None, {}
    found = evaluate(text.ids, before=text.before)
    found_others = {}
    for name, (other, its_vocabulary) in others.items():
        ids, before = (its_vocabulary.ids_from(vocabulary)[each] for each in (text.ids, text.before))
        found_others[name] = Evaluator(other)(ids, before=before)
    if vocabulary.replies:
        ids, before = (_without_questions(each, vocabulary) for each in (text.ids, text.before))
        unasked = evaluate(ids, before=before)
    if text.train_ids is not None:
        trained, judged = (ids[is_learned(ids, vocabulary.size)] for ids in (text.train_ids, text.ids))
        beside = baselines(
            trained,
            judged,
            vocabulary_size=vocabulary.size,
            decode=vocabulary.decode,
            highest_order=max(HIGHEST_ORDER, least_order),
        )
    return Judgement(found, found_others, unasked, beside)


def check_comparable(run_dir: RunDir, other: RunDir) -> bool:
    """Makes sure that another run can be scored on what a run is; says whether it has left out the same tail.

    Where it has not, it may have learned what it is scored on.

    Raises:
        UserError: it is no run, or reads text otherwise.
    """
    own, its = run_dir.load()[0], other.load()[0]
    if changed := sorted(differing(own.corpus.text, its.corpus.text)):
        raise UserError(
            f"{other.path} reads text otherwise than {run_dir.path} ({', '.join(changed)}): their figures cannot be "
            "compared."
        )
    if other.corpus_facts()["fingerprint"] == run_dir.corpus_facts()["fingerprint"]:
        return True
    by_person = own.corpus.held_out_by == its.corpus.held_out_by == "person"
    return by_person and own.data == its.data and own.corpus.held_out <= its.corpus.held_out


def _without_questions(ids: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    return ids[is_learned(ids, vocabulary.size) | vocabulary.are_replies(ids)]


def held_out_text(run_dir: RunDir, store: CorpusCache | None = None) -> JudgedText:
    """Gives the held-out tail of the run's own data, as the end of training scores it.

    Raises:
        UserError: the data came through a pipe, is gone, or has changed since.
    """
    config, _ = run_dir.load()
    own = _own_corpus(run_dir, store)
    if own.fingerprint != run_dir.corpus_facts()["fingerprint"]:
        raise UserError(f"{', '.join(config.data)}: changed since the run was trained; name the data to score.")
    return _tail(own, _counted_ids(own))


def other_text(
    run_dir: RunDir,
    data: Sequence[str],
    *,
    users: Sequence[str] = (),
    csv: Mapping[str, Any] | None = None,
    store: CorpusCache | None = None,
) -> JudgedText:
    """Gives all messages of other files, read as the run's own were; of the run's own files the held-out tail.

    Args:
        run_dir: the run.
        data: files or globs.
        users: whose messages; those of the run's users by default.
        csv: settings of `CsvFormat` that are others than the run's.
        store: where encoded corpora are kept.

    Raises:
        UserError: whatever is wrong with the files, a user is not in them, or the run knows nothing of what is.
    """
    (config, vocabulary), fingerprint = run_dir.load(), run_dir.corpus_facts()["fingerprint"]
    train_ids = _train_ids(run_dir, fingerprint, store)
    files = find_inputs(tuple(data))
    settings = replace(config.corpus, csv=replace(config.corpus.csv, **csv or {}))
    if users:
        settings = replace(settings, users=tuple(users))
    read = cache(lambda: read_messages(files, settings.csv))
    settings, absent = _without_absent(settings, read)

    def corpus(settings: CorpusSettings, vocabulary: Vocabulary | None = None) -> Corpus:
        return build_corpus(files, settings, store, read=read, vocabulary=vocabulary)

    try:
        other = corpus(settings, fixed_vocabulary(run_dir))
    except AbsentUserError as error:
        if not users:
            error.advice = (Sentence("The run was trained on them: name others with {users}."),)
        raise
    if (own := planted(other, config)).fingerprint == fingerprint:
        return replace(_tail(own, own.train_ids), absent=absent)
    everything = corpus(replace(settings, held_out=0.0, fraction=1.0), vocabulary)
    before = vocabulary.encode(separator(settings.text))
    if np.isin(everything.ids[is_learned(everything.ids, vocabulary.size)], [UNKNOWN_ID, *before]).all():
        raise UserError("No character of the text is in the model's vocabulary.")
    return JudgedText(everything.ids, before, everything.count_learned(0, everything.characters), train_ids, absent)


def _tail(corpus: Corpus | PreparedCorpus, train_ids: np.ndarray | None) -> JudgedText:
    tail, before = corpus.held_out_start(MOST_SCORED), corpus.train_end(RUN_UP)
    return JudgedText(tail, before, corpus.count_learned(corpus.split, corpus.characters), train_ids)


def _own_corpus(run_dir: RunDir, store: CorpusCache | None) -> Corpus | PreparedCorpus:
    (config, _), fixed = run_dir.load(), fixed_vocabulary(run_dir)
    if not config.data:
        raise UserError(f"{run_dir.path} does not say what it was trained on: name the data to score.")
    if STANDARD_INPUT in config.data:
        raise UserError(
            "The run was trained on standard input or a pipe, which cannot be read again: "
            "give the same text, or another, after the run's folder."
        )
    if prepared := PreparedCorpus.among(config.data):
        return planted(prepared.read_in(fixed) if fixed else prepared, config)
    return planted(build_corpus(config.data, config.corpus, store, vocabulary=fixed), config)


def _train_ids(run_dir: RunDir, fingerprint: str, store: CorpusCache | None) -> np.ndarray | None:
    """The training text of the run, where it is still what it was."""
    try:
        own = _own_corpus(run_dir, store)
    except UserError:
        return None
    return _counted_ids(own) if own.fingerprint == fingerprint else None


def _counted_ids(own: Corpus | PreparedCorpus) -> np.ndarray | None:
    """What the baselines learn from, if it is not too long to be read into memory."""
    if isinstance(own, Corpus):
        return own.train_ids
    return own.read(0, own.split) if own.split <= _MOST_COUNTED else None


def _without_absent(settings: CorpusSettings, read: Callable[[], Messages]) -> tuple[CorpusSettings, tuple[str, ...]]:
    """Leaves out whom the run left out and whom this chat has not got: nobody named them for this chat."""
    if not settings.drop_users:
        return settings, ()
    counts = count_users(read())
    present = tuple(user for user in settings.drop_users if user in counts)
    return replace(settings, drop_users=present), tuple(user for user in settings.drop_users if user not in counts)
