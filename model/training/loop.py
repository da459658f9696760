"""Takes a run's steps until it ends: calls the graph, tells what came of it, has done what the timetable says is due.

`trainer` makes one of what it has put together. Several workers go through the same loop, by the chief's clock.
"""

import math
from dataclasses import dataclass

import numpy as np

from charflow.model.config import TrainingConfig
from charflow.model.distributed.agreement import Agreement
from charflow.model.run.checkpoints import Progress
from charflow.model.training.chief import Chief
from charflow.model.training.diverged import DivergenceGuard
from charflow.model.training.optimizer import learning_rate
from charflow.model.training.pace import Pace
from charflow.model.training.plan import Plan
from charflow.model.training.report import Listener, Report, StopReason
from charflow.model.training.steps import Steps
from charflow.model.training.stop_request import StopRequest
from charflow.model.training.timetable import Timetable
from charflow.model.training_text import TrainingText


@dataclass(kw_only=True)
class Loop:
    """The loop of one worker.

    Attributes:
        training: limits and learning rates.
        text: what to learn.
        plan: sizes of the run.
        timetable: when what is due.
        progress: where the run stands; written here after each call.
        steps: what a call of the graph does.
        agreement: of all workers.
        guard: ends a run that has diverged.
        stop: the signals that ask to stop.
        listener: who is told.
        chief: evaluates, saves and samples; None in the other workers.
    """

    training: TrainingConfig
    text: TrainingText
    plan: Plan
    timetable: Timetable
    progress: Progress
    steps: Steps
    agreement: Agreement
    guard: DivergenceGuard
    stop: StopRequest
    listener: Listener
    chief: Chief | None

    def run(self) -> tuple[StopReason, float]:
        """Takes steps until the run ends or is asked to stop; says why, and how many it took a second."""
        step, elapsed = int(self.progress.step), float(self.progress.elapsed)
        batches = self.steps.batches(self.text, first_step=step)
        pace, rate, size = Pace(step, elapsed), 0.0, 1
        if self.training.starts and not step and math.isinf(self.progress.best):
            self._evaluate(step, elapsed, rate, 0.0)  # what it starts from is the first that may be the best
            (elapsed,) = self.agreement.broadcast(pace.elapsed)
        next_evaluation = self._next_evaluation(step, elapsed, elapsed - float(self.progress.elapsed))
        next_sample = self.timetable.next_sample(step)
        while True:
            size = self.timetable.call_size(step, elapsed, rate, next_evaluation, next_sample, previous=size)
            rates = self._learning_rates(step, elapsed, size, rate)
            with pace.call(step, size):
                losses = self.steps.run(batches, rates, step)
            self.stop.heed()
            step += size
            self.guard.check_losses(step, losses, last=self.timetable.share_done(step, elapsed) >= 1.0)
            self._tell(step, elapsed := pace.elapsed, losses, rates, pace)
            # Time passes differently for each worker: all go by the chief's.
            elapsed, rate = self.agreement.broadcast(elapsed, pace.rate)
            asked, share, stepped = self._asked_to_stop(), self.timetable.share_done(step, elapsed), elapsed
            self.progress.step.assign(step)
            self.progress.elapsed.assign(elapsed)
            ended: StopReason | None = "finished" if share >= 1.0 else None
            if evaluates := share >= next_evaluation or bool(ended):
                ended = "stopped early" if self._evaluate(step, elapsed, rate, rates[-1]) else ended
                pace.saved()
            elif asked or self.timetable.save_is_due(step, pace.unsaved):
                self._save(step, before_leaving=asked is not None)
                pace.saved()
            if reason := ended or asked:
                return reason, rate
            if step >= next_sample:
                self._sample(step)
                next_sample = self.timetable.next_sample(step)
            (elapsed,) = self.agreement.broadcast(pace.elapsed)
            if evaluates:
                next_evaluation = self._next_evaluation(step, elapsed, elapsed - stepped)

    def _next_evaluation(self, step: int, elapsed: float, took: float) -> float:
        return self.timetable.next_evaluation(self.timetable.share_done(step, elapsed), took)

    def _learning_rates(self, step: int, elapsed: float, size: int, rate: float) -> list[float]:
        """Those of the next `size` steps, at `rate` steps a second."""
        seconds = [k / rate if rate else 0.0 for k in range(size)]
        shares = [self.timetable.share_done(step + k, elapsed + seconds[k]) for k in range(size)]
        return [learning_rate(self.training, step=step + k, progress=shares[k]) for k in range(size)]

    def _tell(self, step: int, elapsed: float, losses: np.ndarray, rates: list[float], pace: Pace) -> None:
        """Reports the steps that have just been taken, nats per target character, and lets the chief note them."""
        self.listener.advanced(
            Report(
                step=step,
                epoch=step / self.plan.steps_per_epoch,
                progress=min(1.0, self.timetable.share_done(step, elapsed)),
                train_bits=float(np.mean(losses)) / math.log(2),
                windows_per_second=len(losses) * self.plan.batch_size / pace.call_seconds,
                elapsed=elapsed,
                left=self.timetable.seconds_left(step, elapsed, pace.rate),
                losses=losses,
            )
        )
        if self.chief:
            self.chief.note_steps(step, losses, rates)

    def _asked_to_stop(self) -> StopReason | None:
        """Whether a signal asked any worker to stop, and which."""
        interrupted, preempted = self.agreement.any_worker(self.stop.interrupted, self.stop.preempted)
        return "preempted" if preempted else "interrupted" if interrupted else None

    def _evaluate(self, step: int, elapsed: float, rate: float, learning_rate: float) -> bool:
        """Lets the chief evaluate; tells all workers whether it wants to stop early."""
        stop = self.chief is not None and self.chief.evaluate(
            step, elapsed, windows_per_second=rate * self.plan.batch_size, learning_rate=learning_rate
        )
        (stop_early,) = self.agreement.broadcast(stop)
        return stop_early > 0

    def _save(self, step: int, *, before_leaving: bool) -> None:
        if self.chief:
            if before_leaving:
                self.listener.ending(f"saving step {step:,}")
            self.chief.save(step, before_leaving=before_leaving)

    def _sample(self, step: int) -> None:
        if self.chief:
            self.chief.sample(step)
