"""A run for each person of a chat: one reading, one start, one run after the other.

`train --each-user` prints what it yields; each run is made by `start_run`, as any other. A folder has one run a person,
named as `safe_names` has it; what stands there already is kept, and what was cut short goes on.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import tensorflow as tf

from charflow.model.config import Config
from charflow.model.decoding.generator import load_decoder
from charflow.model.distributed.strategy import placement
from charflow.model.evaluation.evaluation import MOST_SCORED, Evaluator, evaluate_held_out
from charflow.model.network.network import forget_networks
from charflow.model.presets import continued
from charflow.model.run.run_dir import RunDir
from charflow.model.training.configure import configure
from charflow.model.training.everybody import Everybody, with_memory
from charflow.model.training.report import ENDED, Listener, StopReason
from charflow.model.training.start import start_run
from charflow.model.training_text import TrainingText, read_text
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.corpus.users import most_active, with_ids
from charflow.pipeline.errors import SettingError, UserError, reason
from charflow.pipeline.formats.inputs import find_inputs
from charflow.pipeline.formats.messages import KeptMessages, count_users, read_messages
from charflow.pipeline.places import check_folder
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.safe_names import safe_name
from charflow.pipeline.scratch import scratch_file
from charflow.pipeline.settings import Count, checked


@dataclass(frozen=True)
class Person:
    """Somebody who has enough messages.

    Attributes:
        user: their id.
        name: what they are called; the id where the chat has no names.
        messages: of theirs, as they stand in the files.
    """

    user: str
    name: str
    messages: int


@dataclass(frozen=True)
class Outcome:
    """What came of one person's run.

    Attributes:
        person: whose it is.
        run: its folder.
        state: "trained" now; "kept" from before; "failed", and `why`; or what stopped it.
        characters: that were learned.
        bits_per_char: on what is held out of theirs; None where that is not known.
        base_bits_per_char: of the run that it started from, on the same; None likewise, or where there is none.
        seconds: of training, in all sessions.
        why: in a sentence, where it failed.
        signal: that asked the run to stop, even if it had just come to its end by itself; else 0.
    """

    person: Person
    run: Path
    state: Literal["trained", "kept", "failed"] | StopReason
    characters: int = 0
    bits_per_char: float | None = None
    base_bits_per_char: float | None = None
    seconds: float = 0.0
    why: str = ""
    signal: int = 0


class EachListener(Listener, Protocol):
    """Is told of each run, and which it is."""

    def started(self, person: Person, number: int) -> None:
        """Before the run, the `number`th of all."""


class EachUser:
    """The people of a chat who have enough messages, and a folder for their runs.

    Args:
        data: the chat's files or globs.
        changes: settings of `Config`, as nested dictionaries, of every run.
        out: the folder; each run is in a folder of its own in there.
        name: of the preset.
        file: TOML.
        min_messages: people with fewer are left out.
        cache: where encoded corpora, runs on everybody and counts of them are kept; for this process alone if None.

    Attributes:
        people: them, the most active first.
        left_out: how many others there are.
        everybody: what is to be learned before all of them, or has been; None where nothing is.

    Raises:
        UserError: the settings are invalid, whatever is wrong with the files, or nobody has so many messages.
    """

    @checked
    def __init__(
        self,
        data: Sequence[str],
        changes: Mapping[str, Any],
        out: Path | str,
        *,
        name: str | None = None,
        file: Path | None = None,
        min_messages: Count = 300,
        cache: CorpusCache | None = None,
    ) -> None:
        if PreparedCorpus.among(data):
            raise SettingError(
                "A prepared corpus does not say whose its messages are: give the files, or leave {each_user} out."
            )
        self.out, self._store = Path(out), cache or CorpusCache(scratch_file("cache"))
        check_folder(self.out, "the runs")
        if RunDir(self.out).config_file.exists():
            raise UserError(f"{self.out} holds a run: name another folder, for the runs of all.")
        self._data, self._changes, self._name, self._file = list(data), changes, name, file
        settings = self._config_of("").corpus
        self._files = find_inputs(data)
        self._messages = KeptMessages.of(read_messages(self._files, settings.csv))
        rows, names = count_users(self._messages), self._messages.all_names()
        dropped = with_ids(replace(settings, users=()), self._messages).drop_users
        talking = Counter({user: count for user, count in rows.items() if user not in dropped})
        self.people = [
            Person(user, next(iter(names.of(user)), user), count)
            for user, count in talking.most_common()
            if count >= min_messages
        ]
        self.left_out = len(talking) - len(self.people)
        if not self.people:
            raise SettingError(
                "Nobody has {count} messages: lower {min_messages}. Most active: {most}.",
                count=f"{min_messages:,}",
                most=most_active(talking, names),
            )

    @cached_property
    def everybody(self) -> Everybody | None:
        found = (self._beside(person) for person in self.people)
        return next((each for each in found if each and each.comes_first), None)

    @property
    def base(self) -> Path | None:
        """The run that theirs start from; None where they start from nothing."""
        training = self._config_of("").training
        named = Path(training.start_from) if training.starts else None
        return self.everybody.run_dir.path if self.everybody else named

    def folder_of(self, person: Person) -> Path:
        """Where the run of somebody is."""
        return self.out / safe_name(person.name, person.user)

    def train(self, strategy: tf.distribute.Strategy, listener: EachListener) -> Iterator[Outcome]:
        """Makes the runs that are not there yet, and yields what came of each; after a signal no more of them.

        Raises:
            UserError: several workers are to train.
        """
        if placement(strategy).workers > 1:
            raise UserError(
                "The runs of all are made in one process: start it without TF_CONFIG, srun or charflow launch."
            )
        for number, person in enumerate(self.people, 1):
            listener.started(person, number)
            try:
                outcome = self._made(person, strategy, listener)
            except UserError as error:
                outcome = Outcome(person, self.folder_of(person), "failed", why=str(error))
            except (tf.errors.ResourceExhaustedError, MemoryError) as error:
                outcome = Outcome(person, self.folder_of(person), "failed", why=f"Out of memory ({reason(error)}).")
            forget_networks()
            yield outcome
            if outcome.signal:
                return

    def _made(self, person: Person, strategy: tf.distribute.Strategy, listener: Listener) -> Outcome:
        run_dir = RunDir(self.folder_of(person))
        config, text = self._wanted(person)
        begun = run_dir.config_file.exists()
        if begun:
            config = _same(run_dir, config, text)
        state, seconds, signal = "kept", 0.0, 0
        if not run_dir.read_result():
            result = start_run(config, text, run_dir, strategy, listener, resume=begun)
            state, seconds, signal = result.reason, result.elapsed, result.signal
        elif rows := run_dir.read_metrics():
            seconds = rows[-1]["elapsed"]
        held_out = run_dir.read_result().get("held_out")
        return Outcome(
            person,
            run_dir.path,
            "trained" if state in ENDED else state,  # type: ignore[arg-type]  # reasons, and "kept"
            characters=text.learned_characters,
            bits_per_char=held_out["bits_per_char"] if held_out else None,
            base_bits_per_char=self._base_bits(config, text) if held_out else None,
            seconds=seconds,
            signal=signal,
        )

    def _wanted(self, person: Person) -> tuple[Config, TrainingText]:
        """The configuration of somebody's run, and its text."""
        config = self._settled(person, self._config_of(person.user))
        text = self._text_of(config)
        if self.everybody and self.everybody.pays_for(text):
            config = self._settled(person, self._config_of(person.user, self.everybody))
            text = self._text_of(config)
        return config, text

    def _settled(self, person: Person, config: Config) -> Config:
        """Settles whose counts are remembered, where that is left open: as it was, if the run is there already."""
        run_dir, left_open = RunDir(self.folder_of(person)), self._config_of("").training.memory == "auto"
        if left_open and run_dir.config_file.exists():
            memory = run_dir.load()[0].training.memory
            return replace(config, training=replace(config.training, memory=memory))
        if config.training.memory != "auto":
            return config
        return with_memory(config, beside_everybody=bool(self._beside(person)))

    def _beside(self, person: Person) -> Everybody | None:
        config = self._config_of(person.user)
        try:
            return Everybody.beside(config, self._text_of(config), self._store)
        except UserError:  # of this person's text: said when it is their turn
            return None

    def _config_of(self, user: str, everybody: Everybody | None = None) -> Config:
        changes = everybody.before_one(self._changes) if everybody else self._changes
        only = {"users": [user]} if user else {}
        own = {**changes, "corpus": {**changes.get("corpus", {}), **only}}
        return configure(self._data, own, name=None if everybody else self._name, file=self._file)

    def _text_of(self, config: Config) -> TrainingText:
        return read_text(self._files, config, cache=self._store, read=lambda: self._messages)  # type: ignore[arg-type]

    def _base_bits(self, config: Config, text: TrainingText) -> float | None:
        if not config.training.starts:
            return None
        try:
            found = evaluate_held_out(_evaluator(config.training.start_from), text, MOST_SCORED)
        except UserError:  # it is gone: the runs that started from it do without
            return None
        return found.bits_per_char if found else None


@cache
def _evaluator(folder: str) -> Evaluator:
    return Evaluator(load_decoder(RunDir(folder), "stream"))


def _same(run_dir: RunDir, config: Config, text: TrainingText) -> Config:
    """The configuration to go on with in a folder, which must be that of the run there.

    Raises:
        SettingError: the run there has other settings.
    """
    saved = run_dir.load()[0]
    training = replace(config.training, base_fingerprint=saved.training.base_fingerprint)
    return continued(saved, asdict(replace(config, corpus=text.corpus.settings or config.corpus, training=training)))
