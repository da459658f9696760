"""Searches for settings that predict held-out text better, one short run after another.

`space` says what may change; `trials` proposes values and keeps what came of them; `trainer` trains each
trial in a folder of its own; `picture` draws them. A sweep that was stopped, in whichever way, goes on when it
is opened again.
"""

import math
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from charflow.model.config import Config
from charflow.model.distributed.strategy import make_strategy, placement
from charflow.model.network.network import forget_networks
from charflow.model.run.base import Base
from charflow.model.run.run_dir import RunDir
from charflow.model.search.picture import plot_trials
from charflow.model.search.space import Space, Value
from charflow.model.search.trials import STORE, Proposal, Trial, Trials
from charflow.model.training.diverged import DivergedError
from charflow.model.training.plan import Plan, check_fit
from charflow.model.training.report import Report
from charflow.model.training.samples import Sample
from charflow.model.training.start import start_run
from charflow.model.training_text import text_in_memory
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import SettingError, UserError, counted, reason
from charflow.pipeline.files import replacing
from charflow.pipeline.read_only import is_known


class Stopped(Exception):  # noqa: N818  # it is no error
    """A signal ended a trial in good order, and with it the sweep."""

    def __init__(self, *, preempted: bool) -> None:
        super().__init__()
        self.preempted = preempted


class SweepListener(Protocol):
    """Is told what happens; every method may do nothing."""

    def started(self, number: int, values: dict[str, Value]) -> None:
        """Before a trial."""

    def advanced(self, report: Report) -> None:
        """About twice a second."""

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """After a trial; `best` is the best so far."""


class Sweep:
    """A folder of trials, new or continued; the caller holds its lock (see `locked`).

    Args:
        folder: where everything is written.
        config: what a trial has where the search does not say otherwise; its time limit ends every trial at the latest.
        space: what is searched.
        corpus: what every trial learns, and is judged on.

    Attributes:
        trials: what was tried.
        picture_file: the trials, PNG.
        best_file: settings of the best trial, as `charflow train --config` takes them.

    Raises:
        UserError: there is no held-out text, no time limit, or the folder holds another sweep.
    """

    def __init__(self, folder: Path, config: Config, space: Space, corpus: Corpus) -> None:
        if not is_known(corpus.held_out_ids, corpus.vocabulary.size).any():
            raise SettingError("A sweep compares trials on held-out text: give more messages, or a larger {held_out}.")
        if not config.training.time_limit:
            raise SettingError("The trials of a sweep need a time limit: give {time_limit}.")
        if config.training.starts:  # from other weights in the same folder trials could not be compared
            base = Base(config.training.start_from)
            config = replace(config, training=replace(config.training, base_fingerprint=base.fingerprint))
        self.folder, self._config, self._space, self._corpus = folder, config, space, corpus
        self.picture_file, self.best_file = folder / "trials.png", folder / "best.toml"
        self.trials = Trials(folder, config, space, corpus.fingerprint)

    def run_folder(self, number: int) -> Path:
        """Where the run of a trial is."""
        return self.folder / "trials" / str(number)

    def best_config(self) -> Config | None:
        """The settings of the best trial; None where none has finished."""
        best = self.trials.best()
        return self._space.apply(self._config, best.values) if best else None

    def check_any_finished(self) -> None:
        """Says what came of a sweep that has no result.

        Raises:
            UserError: no trial came to its end.
        """
        if self.trials.best():
            return
        trials = [trial for trial in self.trials.all() if trial.state != "cut off"]
        if failed := [trial for trial in trials if trial.state == "failed"]:
            raise UserError(f"{len(failed)} of {counted(len(trials), 'trial')} could not be trained: {failed[0].why}")
        raise UserError(
            f"None of {counted(len(trials), 'trial')} came to its end: search lower learning rates, or more trials."
        )

    def run(self, n_trials: int, listener: SweepListener) -> None:
        """Trains until `n_trials` have come to an end, those of earlier sessions included.

        Raises:
            Stopped: a signal came; a trial that it cut short is done again next time.
            KeyboardInterrupt: Ctrl-C between two trials, or the second one within a trial.
            UserError: a file cannot be written, or several workers are to train.
        """
        strategy = make_strategy()
        if placement(strategy).workers > 1:
            raise UserError("A sweep runs in one process: start it without TF_CONFIG, Slurm's srun or charflow launch.")
        while self.trials.n_done() < n_trials:
            proposal = self.trials.propose()
            listener.started(proposal.number, proposal.values)
            stopped_by = self._measure(proposal, strategy, listener)
            forget_networks()
            self._publish()
            listener.ended(self.trials.all()[-1], self.trials.best())
            if stopped_by:
                raise Stopped(preempted=stopped_by == signal.SIGTERM)
        self._publish()

    def _measure(self, proposal: Proposal, strategy: tf.distribute.Strategy, listener: SweepListener) -> int:
        """Runs a trial to its end; gives the signal that came in its last moment, else 0."""
        config = self._space.apply(self._config, proposal.values)
        text = text_in_memory(self._corpus, config.training, config.data)
        run_dir = RunDir(self.run_folder(proposal.number))
        try:
            check_fit(config, text, strategy)
        except UserError as error:
            proposal.gave_up("failed", str(error))
            return 0
        try:
            result = start_run(config, text, run_dir, strategy, _Watch(proposal, config, listener))
        except _Hopeless:
            proposal.gave_up("pruned")
        except DivergedError as error:
            proposal.gave_up("diverged", str(error))
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            proposal.gave_up("out of memory", reason(error))
        else:
            if not result.ended:
                raise Stopped(preempted=result.reason == "preempted")
            assert result.held_out is not None  # the corpus has held-out text, and the run was not interrupted
            proposal.note(steps=result.step, windows_per_second=result.windows_per_second, seconds=result.elapsed)
            proposal.finished(result.held_out.bits_per_char)
            return result.signal
        return 0

    def _publish(self) -> None:
        """Draws the trials, writes the best settings, and deletes the weights of all others."""
        trials, best = self.trials.all(), self.trials.best()
        for trial in trials:
            if trial != best:
                shutil.rmtree(RunDir(self.run_folder(trial.number)).checkpoints, ignore_errors=True)
        plot_trials(trials, self._space, self.picture_file)
        if best and (config := self.best_config()):
            about = f"# Trial {best.number} of a sweep: {best.bits:.4f} held-out bits per character.\n"
            with replacing(self.best_file) as beside:
                beside.write_text(about + config.to_toml(), encoding="utf-8")


class _Hopeless(Exception):  # noqa: N818  # it is no error
    """Ends a run from within, where it has fallen behind the others."""


class _Watch:
    """Hears a run on behalf of its trial."""

    def __init__(self, proposal: Proposal, config: Config, listener: SweepListener) -> None:
        self._proposal, self._training, self._listener = proposal, config.training, listener
        self._progress = 0.0  # share of the run

    def resumed(self, step: int, elapsed: float, damaged: Sequence[str]) -> None: ...

    def counting(self, seconds: float | None) -> None: ...

    def planned(self, plan: Plan) -> None: ...

    def ending(self, doing: str, share: float = 0.0) -> None: ...

    def advanced(self, report: Report) -> None:
        self._progress = report.progress
        self._listener.advanced(report)

    def evaluated(self, row: dict[str, Any]) -> None:
        self._proposal.note(steps=row["step"], windows_per_second=row["windows_per_second"], seconds=row["elapsed"])
        # Slow runs skip evaluations: trials are compared after equal shares of their time, not after equal counts.
        evaluation = math.floor(self._progress * self._training.evaluations + 1e-9)
        if self._proposal.is_hopeless(row["held_out_part_bits"], evaluation) and self._progress < 1.0:
            raise _Hopeless

    def sampled(self, sample: Sample) -> None: ...


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps the folder of a sweep for this process.

    Raises:
        UserError: another process holds it, or it holds something that is no sweep.
    """
    if RunDir(folder).config_file.exists():
        raise UserError(f"{folder} holds a run: name another folder for the sweep.")
    if not (folder / STORE).exists():
        RunDir(folder).check_free()
    with RunDir(folder).locked():
        yield
