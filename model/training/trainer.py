"""Trains a network on a text, inside a run folder, under a tf.distribute strategy.

`training_text` feeds it, `steps` differentiates and updates, `loop` goes from step to step, `timetable` says what is
due and `chief` does it. What happens on the way is told to a listener (see `report`); `start` makes and resumes runs.
"""

import zlib
from contextlib import AbstractContextManager, nullcontext

import tensorflow as tf

from charflow.model.config import Config
from charflow.model.distributed.agreement import Agreement
from charflow.model.distributed.strategy import naming_lost_peers, placement
from charflow.model.evaluation.divergence import guess_bits
from charflow.model.evaluation.evaluation import Evaluation
from charflow.model.evaluation.memorisation import Memorisation
from charflow.model.run.base import Base
from charflow.model.run.checkpoints import Checkpoints, Progress, best_step
from charflow.model.run.run_dir import RunDir
from charflow.model.run.run_memory import count_text, make_memory, save_counts
from charflow.model.training.chief import Chief, CutShort
from charflow.model.training.diverged import DivergenceGuard
from charflow.model.training.loop import Loop
from charflow.model.training.plan import check_fit, make_plan
from charflow.model.training.report import ENDED, Listener, Result, StopReason
from charflow.model.training.steps import Steps, untrained
from charflow.model.training.stop_request import StopRequest
from charflow.model.training.timetable import Timetable
from charflow.model.training_text import TrainingText
from charflow.pipeline.errors import SettingError, UserError, counted
from charflow.pipeline.errors import reason as cause
from charflow.pipeline.settings import checked


class Trainer:
    """One run, new or resumed.

    With several workers each holds a Trainer, and all go through the same steps; the chief alone evaluates and writes.

    Args:
        config: what to do; its corpus settings have already made the text.
        text: what to learn.
        run_dir: where to write; locked by the caller.
        strategy: where to compute.
        listener: who is told.

    Raises:
        UserError: the training text is shorter than a window, or the replicas cannot share the batch.
        PeerError: another worker is gone.
    """

    @checked
    def __init__(
        self, config: Config, text: TrainingText, run_dir: RunDir, strategy: tf.distribute.Strategy, listener: Listener
    ) -> None:
        self._config, self._text, self._run_dir, self._listener = config, text, run_dir, listener
        self._strategy = strategy
        training = config.training
        if training.deterministic:
            tf.config.experimental.enable_op_determinism()
        check_fit(config, text, strategy)
        self._placement = placement(strategy)
        with naming_lost_peers(self._placement), strategy.scope():
            self.network, optimizer = untrained(config, text.vocabulary.size)
        self._progress = Progress()  # host variables, not mirrored
        self._counts = count_text(text, training, run_dir, listener.counting) if self._placement.chief else None
        self._memory = make_memory(self._counts, text.vocabulary.size) if self._counts else None
        self.plan = make_plan(config, text, self.network, optimizer, self._placement, self._memory)
        self._timetable = Timetable(training, self.plan.steps_per_epoch)
        self._checkpoints = Checkpoints(
            run_dir.checkpoints,
            self.network.model,
            optimizer,
            self._progress,
            memory=self._memory,
            kept=training.checkpoints,
        )
        replies, batch_size = text.vocabulary.replies, self.plan.batch_size
        steps = Steps(strategy, self.network, optimizer, training, batch_size, replies=replies)
        self._agreement = Agreement(strategy)
        self._guard = DivergenceGuard(config, run_dir, text.vocabulary.size, self._checkpoints.wait)
        self._stop = StopRequest()
        self._chief = self._make_chief() if self._placement.chief else None
        self._loop = self._make_loop(steps)

    def _make_chief(self) -> Chief:
        return Chief(
            config=self._config,
            text=self._text,
            run_dir=self._run_dir,
            plan=self.plan,
            network=self.network,
            checkpoints=self._checkpoints,
            progress=self._progress,
            guard=self._guard,
            stop=self._stop,
            listener=self._listener,
            memory=self._memory,
        )

    def _make_loop(self, steps: Steps) -> Loop:
        return Loop(
            training=self._config.training,
            text=self._text,
            plan=self.plan,
            timetable=self._timetable,
            progress=self._progress,
            steps=steps,
            agreement=self._agreement,
            guard=self._guard,
            stop=self._stop,
            listener=self._listener,
            chief=self._chief,
        )

    def start_from(self, base: Base) -> None:
        """Takes the weights of another run.

        Raises:
            UserError: they are damaged, or of another version of charflow.
        """
        with self._strategy.scope():
            base.load_into(self.network)

    def save(self) -> None:
        """Saves the run as it stands before its first step."""
        self._checkpoints.save_latest(self._step)

    def resume(self) -> None:
        """Continues from the latest checkpoint of the run folder, or from the beginning if there is none yet.

        Raises:
            UserError: every checkpoint is damaged, or the run has already come to its end.
        """
        damaged = self._checkpoints.restore_latest()
        if self._chief:
            self._run_dir.forget_metrics_after(self._step)
        if self._at_end and self._judged:
            raise SettingError(
                "{path} has already been trained to its end ({done}): give a higher {epochs}, {steps} or {time_limit}.",
                path=str(self._run_dir.path),
                done=f"{counted(self._step, 'step')}, {self._elapsed:.0f} s",
            )
        self._listener.resumed(self._step, self._elapsed, damaged)

    def train(self) -> Result:
        """Trains until the first limit, an early stop or a signal; saves, evaluates and draws on the way.

        Raises:
            DivergedError: the loss is no longer a number, or far worse than guessing.
            UserError: a file cannot be written.
            PeerError: another worker is gone.
        """
        self._listener.planned(self.plan)
        writer = tf.summary.create_noop_writer()
        if self._chief:
            writer = tf.summary.create_file_writer(str(self._run_dir.logs))
        try:
            with (
                self._stop,
                writer.as_default(),
                naming_lost_peers(self._placement),
                self._text.naming_errors(),
                self._saving(),
            ):
                self._check_together()
                if self._chief:
                    self._chief.begin()
                if self._counts:
                    save_counts(self._run_dir, self._counts)
                over = self._over_already()
                reason, rate = (over, 0.0) if over else self._loop.run()
                step, elapsed = self._step, self._elapsed
                reason, held_out, memorisation = self._judge(reason)
                self._agreement.barrier()  # a worker that left now would end the cluster under the chief
        except OSError as error:
            raise UserError(f"{error.filename or self._run_dir.path} cannot be written: {cause(error)}.") from error
        best = best_step(self._run_dir.checkpoints)
        return Result(
            reason=reason,
            step=step,
            elapsed=elapsed,
            windows_per_second=rate * self.plan.batch_size,
            best_step=best or 0,
            train_bits=self._run_dir.figures_of(step if best is None else best)["train_bits"],
            guess_bits=guess_bits(len(self._text.vocabulary.chars)),
            held_out=held_out,
            memorisation=memorisation,
            signal=self._stop.signal,
        )

    def _saving(self) -> AbstractContextManager[None]:
        return self._checkpoints.saving() if self._chief else nullcontext()

    def _judge(self, reason: StopReason) -> tuple[StopReason, Evaluation | None, Memorisation | None]:
        """Lets the chief judge the best weights of a run that came to its end, unless a signal cuts that short."""
        if not self._chief:
            return reason, None, None
        if reason in ENDED:
            try:
                return reason, *self._chief.judge_best(reason, self._step)
            except CutShort:
                reason = "preempted" if self._stop.preempted else "interrupted"
        self._chief.draw()
        return reason, None, None

    def _check_together(self) -> None:
        """Makes sure that all workers begin at the chief's step, with the chief's settings.

        Raises:
            UserError: in all of them, where one does not.
        """
        mine = (self._step, zlib.crc32(self._config.to_toml().encode()))
        chiefs = tuple(map(round, self._agreement.broadcast(*mine)))
        (differs,) = self._agreement.any_worker(mine != chiefs)
        if differs:
            raise UserError(
                f"The workers do not begin alike: worker {self._placement.worker} at step {self._step:,}, the chief at "
                f"step {chiefs[0]:,}. All need the same settings and the same run folder: start all of them again."
            )

    def _over_already(self) -> StopReason | None:
        """Says why a resumed run has no step to take: it was ended after its last one, before it was judged."""
        if not (self._at_end or self._stopped_early):
            return None
        if self._at_end and self._chief and self._chief.last_evaluated < self._step:
            self._chief.evaluate(self._step, self._elapsed, windows_per_second=0.0, learning_rate=0.0)
        self._stop.heed()
        return "finished" if self._at_end else "stopped early"

    @property
    def _step(self) -> int:
        return int(self._progress.step)

    @property
    def _elapsed(self) -> float:
        return float(self._progress.elapsed)

    @property
    def _at_end(self) -> bool:
        return self._timetable.share_done(self._step, self._elapsed) >= 1.0

    @property
    def _judged(self) -> bool:
        return self._run_dir.read_result().get("step") == self._step

    @property
    def _stopped_early(self) -> bool:
        """Whether a run that is resumed had stopped early, and was ended before it was judged."""
        return self._progress.is_out_of(self._config.training.patience) and not self._judged
