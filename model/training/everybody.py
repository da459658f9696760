"""Everybody first: a run on all people of a chat, which runs on each of them then start from.

`train` asks whether it pays, and lets it run; it is a run like any other, which stands in the cache, so that the second
person finds it there. What it must not learn, the end of each one's messages, is `held_out`'s to leave out. Who has
too much text for that is helped by everybody's counts alone.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import tensorflow as tf

from charflow.model.config import NOTHING, Config, MemoryKind, TrainingConfig
from charflow.model.presets import SECOND_PHASE
from charflow.model.run.base import Base
from charflow.model.run.run_dir import RunDir
from charflow.model.training.report import Listener, Result
from charflow.model.training.start import start_run
from charflow.model.training_text import TrainingText, read_text
from charflow.pipeline.corpus.cache import CorpusCache, alone
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.inputs import is_read_once
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.scratch import scratch_file

_SHARE = 0.75  # of the time limit
_LEAST, _TIMES = 500_000, 4  # characters of everybody; and how many times as many as the person has
_LEAST_SECONDS = 90  # with less for everybody, what the person starts from is worse than nothing
# Characters of the person to a second of the limit, at most. In two minutes, with everybody's counts beside either: 221
# thousand characters reach 1.791 bits after everybody and 1.799 without, 506 thousand 1.751 and 1.730.
_A_SECOND = 4_000
_MIN_COUNT = 20  # rarer characters of a large chat cost time at each step, and are never learned


@dataclass(frozen=True)
class Everybody:
    """All people of a chat, beside a run on one.

    Attributes:
        config: of the run on everybody.
        text: of everybody.
        run_dir: where it stands, or will stand.
        time_left: seconds for the person, at most.
        memory: whose counts the run on the person remembers.
        comes_first: whether to learn everybody before the person.
    """

    config: Config
    text: TrainingText
    run_dir: RunDir
    time_left: float
    memory: MemoryKind
    comes_first: bool

    @classmethod
    def beside(cls, config: Config, text: TrainingText, cache: CorpusCache | None) -> "Everybody | None":
        """Says what to learn before a run on one person; None where everybody is not there, or not worth it.

        A text has nothing left to teach after eight to ten passes (see docs/experiments.md): time for more of them is
        better spent on everybody. Everybody must have 500,000 characters, and four times as many as the person. And
        the run must have 90 seconds and more, and be one whose time can be shared out, and whose text a run on
        everybody can prepare for.

        Args:
            config: of the run.
            text: of the person.
            cache: where such runs are kept; None makes one for this process alone.
        """
        if not _can_be_shared(config) or PreparedCorpus.among(config.data):
            return None
        limit = config.training.time_limit
        given = config.corpus.min_count
        plain = {each.name: each.default for each in fields(TrainingConfig) if each.name.startswith("memory_")}
        alone: dict[str, Any] = {**plain, "memory": "off", "start_from": NOTHING, "time_limit": _SHARE * limit}
        first = replace(
            config,
            corpus=replace(config.corpus, users=(), min_count=given if given > 1 else _MIN_COUNT),
            training=replace(config.training, **alone),
        )
        everybody = read_text(config.data, first, cache=cache)
        if not _is_much(everybody, text):
            return None
        if cache:
            key = cache.key(config.data, replace(first, data=()).to_toml())
            folder = cache.folder / "bases" / key
        else:
            folder = scratch_file("base")
        return cls(
            first,
            everybody,
            RunDir(folder),
            (1 - _SHARE) * limit,
            with_memory(config, beside_everybody=True).training.memory,
            comes_first=text.train_characters <= _A_SECOND * limit,
        )

    @property
    def is_known(self) -> bool:
        """Whether it has been learned already."""
        return bool(self.run_dir.read_result())

    def pays_for(self, text: TrainingText) -> bool:
        """Whether there is so much more of everybody than of another person, who need not wait for it any more."""
        return _is_much(self.text, text)

    def before_one(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Has a run, whose configuration has these changes, start from here."""
        corpus = {"min_count": self.config.corpus.min_count}
        own = {"epochs": SECOND_PHASE["epochs"], "time_limit": self.time_left, "memory": self.memory}
        return {
            **changes,
            "corpus": {**changes.get("corpus", {}), **corpus},
            "training": {**changes.get("training", {}), "start_from": str(self.run_dir.path), **own},
        }

    def learn(self, strategy: tf.distribute.Strategy, listener: Listener) -> Result | None:
        """Makes the run, or goes on with one that was interrupted; None where it has come to its end already.

        Another process that wants the same one waits here until it is there.

        Raises:
            UserError: the cache cannot be written; or as `start_run`.
        """
        with alone(self.run_dir.path):
            if self.is_known and _is_whole(self.run_dir):
                return None
            resume = self.run_dir.config_file.exists() and not self.is_known
            if not resume:
                shutil.rmtree(self.run_dir.path, ignore_errors=True)
            return start_run(self.config, self.text, self.run_dir, strategy, listener, resume=resume)


def with_memory(config: Config, *, beside_everybody: bool = False) -> Config:
    """Settles whose counts a run remembers, where that is left open: everybody's where they are many, or none's.

    Args:
        config: of the run.
        beside_everybody: whether there is an `Everybody` beside it; else the run that it starts from is looked at.
    """
    training = config.training
    if training.memory != "auto":
        return config
    wins = _can_remember_all(config) and (
        beside_everybody or (training.starts and _is_of_all(Base(training.start_from)))
    )
    return replace(config, training=replace(training, memory="everybody" if wins else "off"))


def _can_remember_all(config: Config) -> bool:
    """Whether counts that are one for all people of the files are to be had, and may be this run's."""
    corpus, training = config.corpus, config.training
    return (
        len(corpus.users) == 1
        and (corpus.held_out_by, corpus.fraction, corpus.text.reply) == ("person", 1, False)
        and not (training.shard_corpus or training.streaming)
        and not any(map(is_read_once, config.data))
        and not PreparedCorpus.among(config.data)
    )


def _is_of_all(base: Base) -> bool:
    facts = base.run_dir.corpus_facts()
    return not base.config.corpus.users and facts["train_characters"] >= _LEAST


def _is_much(everybody: TrainingText, one: TrainingText) -> bool:
    return everybody.train_characters >= max(_LEAST, _TIMES * one.train_characters)


def _can_be_shared(config: Config) -> bool:
    corpus, training = config.corpus, config.training
    return (
        training.start_from == ""
        and bool(corpus.users)
        and training.time_limit >= _LEAST_SECONDS
        and not (training.epochs or training.steps or training.canaries)
        and (corpus.held_out_by, corpus.fraction, corpus.text.reply) == ("person", 1, False)
        and not any(map(is_read_once, config.data))
    )


def _is_whole(run_dir: RunDir) -> bool:
    try:
        return bool(Base(run_dir.path))
    except UserError:
        return False
