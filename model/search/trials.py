"""Keeps the trials of a sweep on disk, and proposes the next one.

`sweep` trains what is proposed here. Optuna stores every trial in an SQLite file, whose own journal survives
`kill -9`; Optuna's other store, a text log, would be left with half a line.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from charflow.model.config import Config
from charflow.model.search.space import Space, Value
from charflow.pipeline.errors import UserError, reason

STORE = "study.db"
_STUDY = "sweep"
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
# The first trials all come to their end, so that there is a median to fall behind; later ones have two fifths of their
# time (with the default preset's 5 evaluations) before they are judged.
_NEVER_PRUNED = 4
_EVALUATIONS_BEFORE_PRUNING = 2


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        number: from 1; the name of its folder.
        state: "finished"; "pruned", "diverged", "out of memory" or "failed" (its settings do not go with the text or
            the machine) if it ended before; "cut off" if the sweep did.
        values: the searched settings.
        bits: bits per character of the held-out text, as `charflow evaluate` gives them; None unless finished.
        part_bits: of a part of it, at the last evaluation before the trial ended early; None where there was none.
        steps: batches done.
        windows_per_second: mean, evaluations not counted.
        seconds: of training.
        why: what the trainer said where it gave up.
        is_preset: whether these are the values the sweep started from.
    """

    number: int
    state: str
    values: dict[str, Value]
    bits: float | None
    part_bits: float | None
    steps: int
    windows_per_second: float
    seconds: float
    why: str
    is_preset: bool


class Trials:
    """The trials of one folder, new or continued.

    Those that an earlier process left running count as failed, and are proposed again.

    Args:
        folder: where `study.db` is; it exists, and no other process writes it.
        config: what a trial has where the search does not say otherwise; its seed is the search's too.
        space: what is searched.
        text: fingerprint of what the trials learn and are judged on.

    Raises:
        UserError: the file is damaged, or was written by a sweep whose trials cannot be compared with these.
    """

    def __init__(self, folder: Path, config: Config, space: Space, text: str) -> None:
        self._config, self._space = config, space
        self._study = _open(folder / STORE)
        self._check_identity(folder, text)
        self._recover(space.nearest(config))

    def all(self) -> list[Trial]:
        """Every trial that was begun, in order."""
        begun = [frozen for frozen in self._study.get_trials(deepcopy=False) if frozen.state != TrialState.WAITING]
        return [self._trial(frozen) for frozen in begun]

    def n_done(self) -> int:
        """How many came to an end: those that were cut off do not count."""
        return len(self._study.get_trials(deepcopy=False, states=_DONE))

    def best(self) -> Trial | None:
        """The finished trial with the fewest bits per character."""
        finished = [trial for trial in self.all() if trial.state == "finished"]
        return min(finished, key=lambda trial: math.inf if trial.bits is None else trial.bits, default=None)

    def propose(self) -> "Proposal":
        """Begins the next trial; the first has the values of the preset, as near as the space allows."""
        # A sampler that went on with the same seed after a restart would draw the same random values again.
        seed = np.random.SeedSequence([self._config.training.seed, self.n_done()]).generate_state(1)[0]
        self._study.sampler = optuna.samplers.TPESampler(seed=int(seed))
        return Proposal(self._study, self._study.ask(self._space.distributions()), self._space)

    def _recover(self, start: dict[str, Value]) -> None:
        begun = self._study.get_trials(deepcopy=False)
        if not begun:
            self._study.enqueue_trial(start)
        for frozen in begun:
            if frozen.state == TrialState.RUNNING:
                first = start if frozen.number == 0 else {}  # it may have been cut off before it had its values
                self._study.enqueue_trial({**first, **frozen.params})
                self._study.tell(frozen.number, state=TrialState.FAIL)

    def _check_identity(self, folder: Path, text: str) -> None:
        wanted = {
            "text": text,
            **{f"network.{name}": value for name, value in vars(self._config.network).items()},
            **{f"training.{name}": value for name, value in vars(self._config.training).items()},
            "search": " ".join(map(str, self._space.axes)),
        }
        known = self._study.user_attrs.get("identity")
        if known is None:
            self._study.set_user_attr("identity", wanted)
        elif known != wanted:
            raise UserError(
                f"{folder} holds another sweep ({_difference(known, wanted)}): "
                "give the data and options it began with, or name another folder."
            )

    def _trial(self, frozen: FrozenTrial) -> Trial:
        notes = frozen.user_attrs
        finished = frozen.state == TrialState.COMPLETE
        states = {TrialState.COMPLETE: "finished", TrialState.PRUNED: notes.get("state", "pruned")}
        values = self._space.rounded(frozen.params)
        return Trial(
            number=frozen.number + 1,
            state=states.get(frozen.state, "cut off"),
            values=values,
            bits=frozen.value if finished else None,
            part_bits=frozen.value if frozen.state == TrialState.PRUNED else None,
            steps=notes.get("steps", 0),
            windows_per_second=notes.get("windows_per_second", 0.0),
            seconds=notes.get("seconds", 0.0),
            why=notes.get("why", ""),
            is_preset=values == self._space.values_of(self._config),
        )


class Proposal:
    """A trial that is being run.

    Attributes:
        number: from 1.
        values: what to train with.
    """

    def __init__(self, study: optuna.Study, trial: optuna.Trial, space: Space) -> None:
        self._study, self._trial = study, trial
        self.number = trial.number + 1
        self.values = space.rounded(trial.params)

    def note(self, *, steps: int, windows_per_second: float, seconds: float) -> None:
        """Keeps the figures of the run so far."""
        for name, value in {"steps": steps, "windows_per_second": windows_per_second, "seconds": seconds}.items():
            self._trial.set_user_attr(name, value)

    def is_hopeless(self, bits: float, evaluation: int) -> bool:
        """Takes the bits of an evaluation while training, counted from 1; says whether most others were better then."""
        self._trial.report(bits, evaluation)
        return self._trial.should_prune()

    def finished(self, bits: float) -> None:
        """Ends the trial with the figure it is judged by."""
        self._study.tell(self._trial, bits)

    def gave_up(self, state: str, why: str = "") -> None:
        """Ends the trial before its end, so that the search keeps away from its values."""
        self._trial.set_user_attr("state", state)
        self._trial.set_user_attr("why", why)
        self._study.tell(self._trial, state=TrialState.PRUNED)


def _open(file: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(
            storage=f"sqlite:///{quote(str(file))}",
            study_name=_STUDY,
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=_NEVER_PRUNED, n_warmup_steps=_EVALUATIONS_BEFORE_PRUNING
            ),
        )
    except Exception as error:  # SQLAlchemy's, Alembic's and Optuna's errors have no common base
        raise UserError(
            f"{file} cannot be read as a sweep ({reason(error)}): delete its folder, or name another one."
        ) from error


def _difference(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    name = next(name for name in {**wanted, **known} if known.get(name) != wanted.get(name))
    return "its text is another" if name == "text" else f"{name} was {known.get(name)}, is now {wanted.get(name)}"
