"""Trains a network on a corpus, inside a run folder, under a tf.distribute strategy.

`training_text` feeds it, `steps` differentiates and updates, `timetable` says what is due, `checkpoints` saves. What
happens on the way is told to a listener (see `report`); the command line's draws the progress bar.
"""

import math
import signal
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType

import numpy as np
import tensorflow as tf

from charflow.model.config import Config
from charflow.model.decoding.decoder import make_decoder
from charflow.model.distributed.strategy import naming_lost_peers, placement
from charflow.model.evaluation.divergence import NO_RETURN, LossWatch, guess_bits
from charflow.model.evaluation.evaluation import MOST_SCORED, PART, Evaluation, Evaluator, evaluate_held_out
from charflow.model.network.network import Network
from charflow.model.run.checkpoints import Checkpoints, Progress, best_step
from charflow.model.run.run_dir import RunDir
from charflow.model.training.curves import plot_curves
from charflow.model.training.event_log import log_evaluation, log_result, log_sample, log_settings, log_steps
from charflow.model.training.optimizer import learning_rate, make_optimizer
from charflow.model.training.plan import check_fit, make_plan
from charflow.model.training.report import Listener, Report, Result
from charflow.model.training.samples import Sampler
from charflow.model.training.steps import Steps
from charflow.model.training.timetable import Timetable
from charflow.model.training_text import TrainingText
from charflow.pipeline.errors import SettingError, UserError, counted
from charflow.pipeline.errors import reason as cause
from charflow.pipeline.sentences import Sentence
from charflow.pipeline.settings import checked

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class DivergedError(UserError):
    """The loss is no number, or far worse than guessing and stays there: a lower learning rate may help."""


class _CutShort(Exception):  # noqa: N818  # it is no error
    """A signal came while the run was judged in the end, with everything saved."""


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
        training = config.training
        if training.deterministic:
            tf.config.experimental.enable_op_determinism()
        check_fit(config, text, strategy)
        self._placement = placement(strategy)
        with naming_lost_peers(self._placement), strategy.scope():
            self.network = Network(
                config.network,
                text.vocabulary.size,
                targets=training.targets,
                seed=training.seed,
                precision=training.precision,
            )
            self._optimizer = make_optimizer(training)
            self._optimizer.build(self.network.model.trainable_variables)
        self._progress = Progress()  # host variables, not mirrored
        self.plan = make_plan(config, text, self.network, self._optimizer, self._placement)
        self._timetable = Timetable(training, self.plan.steps_per_epoch)
        self._checkpoints = Checkpoints(
            run_dir.checkpoints, self.network.model, self._optimizer, self._progress, kept=training.checkpoints
        )
        decoder = make_decoder(self.network, "stream", training.window_length)
        self._evaluate = Evaluator(decoder, self._scored)
        self._sampler = Sampler(decoder, text, seed=training.seed)
        self._steps = Steps(strategy, self.network, self._optimizer, training, self.plan.batch_size)
        self._signal = 0  # that asked to stop
        self._to_judge = 0  # held-out characters that are being scored in the end

    def resume(self) -> None:
        """Continues from the latest checkpoint of the run folder, or from the beginning if there is none yet.

        Raises:
            UserError: every checkpoint is damaged, or the run has already come to its end.
        """
        damaged = self._checkpoints.restore_latest()
        if self._placement.chief:
            self._run_dir.forget_metrics_after(int(self._progress.step))
        if self._at_end and self._run_dir.read_result().get("step") == int(self._progress.step):
            raise SettingError(
                "{path} has already been trained to its end ({done}): give a higher {epochs}, {steps} or {time_limit}.",
                path=str(self._run_dir.path),
                done=f"{counted(int(self._progress.step), 'step')}, {float(self._progress.elapsed):.0f} s",
            )
        self._listener.resumed(int(self._progress.step), float(self._progress.elapsed), damaged)

    def train(self) -> Result:
        """Trains until the first limit, an early stop or a signal; saves, evaluates and draws on the way.

        Raises:
            DivergedError: the loss is no longer a number, or far worse than guessing.
            UserError: a file cannot be written.
            PeerError: another worker is gone.
        """
        self._listener.planned(self.plan)
        writer = tf.summary.create_noop_writer()
        if self._placement.chief:
            writer = tf.summary.create_file_writer(str(self._run_dir.logs))
        held_out = None
        try:
            with self._signals(), writer.as_default(), naming_lost_peers(self._placement), self._text.naming_errors():
                self._check_together()
                if self._placement.chief:
                    log_settings(self._config, run=self._run_dir.path.resolve().name)
                reason, windows_per_second = self._loop()
                step, elapsed = int(self._progress.step), float(self._progress.elapsed)
                if self._placement.chief and reason in ("finished", "stopped early"):
                    try:
                        held_out = self._judge_best(reason, step)
                    except _CutShort:
                        reason = "preempted" if self._signal == signal.SIGTERM else "interrupted"
                self._steps.agree()  # a worker that left now would end the cluster under the chief
        except OSError as error:
            raise UserError(f"{error.filename or self._run_dir.path} cannot be written: {cause(error)}.") from error
        best = best_step(self._run_dir.checkpoints) or 0
        return Result(
            reason=reason,
            step=step,
            elapsed=elapsed,
            windows_per_second=windows_per_second,
            best_step=best,
            train_bits=self._run_dir.figures_of(best or step)["train_bits"],
            guess_bits=guess_bits(len(self._text.vocabulary.chars)),
            held_out=held_out,
            signal=self._signal,
        )

    def _judge_best(self, reason: str, step: int) -> Evaluation | None:
        """Takes the best weights, lets them write, scores them on everything held out, and notes what they are."""
        self._checkpoints.restore_best()
        best = int(self._progress.step)
        self._sample(best, best=True)
        self._to_judge = min(self._text.held_out_characters, MOST_SCORED)
        held_out = evaluate_held_out(self._evaluate, self._text, MOST_SCORED)
        log_result(held_out, best)
        if held_out:
            self._draw((best, held_out.bits_per_char))
        self._run_dir.write_result(
            {"step": step, "reason": reason, "best_step": best, "held_out": asdict(held_out) if held_out else None}
        )
        return held_out

    def _scored(self, characters: int) -> None:
        """Tells how far the last evaluation is, and lets a signal end it: what it gives is all that is not saved."""
        if characters < self._to_judge:
            self._listener.ending(
                f"evaluating on {counted(self._to_judge, 'held-out character')}", characters / self._to_judge
            )
            if self._signal:
                raise _CutShort

    @property
    def _at_end(self) -> bool:
        return self._timetable.share_done(int(self._progress.step), float(self._progress.elapsed)) >= 1.0

    @property
    def _stopped_early(self) -> bool:
        """Whether a run that is resumed had stopped early, and was ended before it was judged."""
        patience = self._config.training.patience
        judged = self._run_dir.read_result().get("step") == int(self._progress.step)
        return bool(patience) and int(self._progress.stale) >= patience and not judged

    def _check_together(self) -> None:
        """Makes sure that all workers begin at the chief's step, with the chief's settings.

        Raises:
            UserError: in all of them, where one does not.
        """
        step = int(self._progress.step)
        settings = zlib.crc32(self._config.to_toml().encode())
        chiefs_step, chiefs_settings, *_ = self._steps.agree(elapsed=step, rate=settings)
        alike = (step, settings) == (round(chiefs_step), round(chiefs_settings))
        _, _, differs, *_ = self._steps.agree(interrupted=not alike)
        if differs:
            raise UserError(
                f"The workers do not begin alike: worker {self._placement.worker} at step {step:,}, the chief at step "
                f"{round(chiefs_step):,}. All need the same settings and the same run folder: start all of them again."
            )

    def _loop(self) -> tuple[str, float]:
        training, plan = self._config.training, self.plan
        step, elapsed = int(self._progress.step), float(self._progress.elapsed)
        batches = self._steps.batches(self._text, first_step=step)
        began = time.monotonic() - elapsed
        next_evaluation = self._timetable.next_evaluation(self._timetable.share_done(step, elapsed))
        next_sample = self._timetable.next_sample(step)
        saved_at, rate, size, watch = time.monotonic(), 0.0, 1, LossWatch(self._text.vocabulary.size)
        step_seconds, first_step = 0.0, step
        over, reason = self._at_end or self._stopped_early, "finished"
        # Where it was ended after its last save, what comes after the last step is left to do.
        if self._at_end and self._placement.chief and self._last_evaluated() < step:
            self._milestone(step, elapsed, rate, 0.0)
        if over:
            self._heed_signals()
            reason = "finished" if self._at_end else "stopped early"
        while not over:
            size = self._timetable.call_size(step, elapsed, rate, next_evaluation, next_sample, previous=size)
            rates = [
                learning_rate(
                    training,
                    step=step + k,
                    progress=self._timetable.share_done(step + k, elapsed + (k / rate if rate else 0.0)),
                )
                for k in range(size)
            ]
            started = time.monotonic()
            losses = self._steps.run(batches, rates, step)
            self._heed_signals()
            loss = float(np.mean(losses))
            seconds = time.monotonic() - started
            # The first call traces and compiles the graph: it says nothing about the pace.
            if step > first_step:
                step_seconds += seconds
                rate = (step + size - first_step - 1) / step_seconds
            step += size
            if (bits := watch.sign(losses, last=self._timetable.share_done(step, elapsed) >= 1.0)) is not None:
                self._diverged(step, bits)
            elapsed = time.monotonic() - began
            self._listener.advanced(
                Report(
                    step=step,
                    epoch=step / plan.steps_per_epoch,
                    progress=min(1.0, self._timetable.share_done(step, elapsed)),
                    train_bits=loss / math.log(2),
                    windows_per_second=size * plan.batch_size / seconds,
                    elapsed=elapsed,
                    left=self._timetable.seconds_left(step, elapsed, rate),
                    losses=losses,
                )
            )
            if self._placement.chief:
                self._run_dir.append_losses(losses)
                log_steps(step, losses, rates)
            # Time passes differently for each worker: all go by the chief's.
            elapsed, rate, interrupted, preempted, _ = self._steps.agree(
                elapsed=elapsed,
                rate=rate,
                interrupted=self._signal == signal.SIGINT,
                preempted=self._signal == signal.SIGTERM,
            )
            share = self._timetable.share_done(step, elapsed)
            self._progress.step.assign(step)
            self._progress.elapsed.assign(elapsed)
            done, asked_to_stop = share >= 1.0, interrupted or preempted
            if share >= next_evaluation or done:
                stop = self._placement.chief and self._milestone(step, elapsed, rate, rates[-1])
                *_, stop_early = self._steps.agree(stop=stop)
                saved_at = time.monotonic()
                next_evaluation = self._timetable.next_evaluation(share)
                if stop_early:
                    reason, done = "stopped early", True
            elif asked_to_stop or self._timetable.save_is_due(step, time.monotonic() - saved_at):
                if asked_to_stop and self._placement.chief:
                    self._listener.ending(f"saving step {step:,}")
                self._save(step)
                saved_at = time.monotonic()
            if asked_to_stop and not done:
                reason = "preempted" if preempted else "interrupted"
                break
            if step >= next_sample and not done:
                self._sample(step)
                next_sample = self._timetable.next_sample(step)
            elapsed, *_ = self._steps.agree(elapsed=time.monotonic() - began)
            if done:
                break
        return reason, rate * plan.batch_size

    def _last_evaluated(self) -> int:
        rows = self._run_dir.read_metrics()
        return rows[-1]["step"] if rows else 0

    def _train_bits(self, since: int) -> float:
        """The mean loss of the steps since then; from the file, which outlives the process."""
        losses = self._run_dir.read_losses()[since:]
        known = losses[~np.isnan(losses)]
        return float(known.mean(dtype=np.float64) / math.log(2)) if len(known) else math.nan

    def _milestone(self, step: int, elapsed: float, rate: float, learning_rate: float) -> bool:
        """Evaluates, keeps what is best, saves, draws; says whether to stop early."""
        training = self._config.training
        found = evaluate_held_out(self._evaluate, self._text, PART)
        if found and not found.bits_per_char < NO_RETURN:
            self._diverged(step, found.bits_per_char)
        self._check_weights(step)
        train_bits = self._train_bits(self._last_evaluated())
        row = {
            "step": step,
            "epoch": step / self.plan.steps_per_epoch,
            "elapsed": elapsed,
            "train_bits": train_bits,
            "held_out_part_bits": found.bits_per_char if found else None,
            "held_out_part_accuracy": found.accuracy if found else None,
            "held_out_part_characters": found.characters if found else None,
            "windows_per_second": rate * self.plan.batch_size,
            "learning_rate": learning_rate,
        }
        log_evaluation(row)
        judged = found.bits_per_char if found and training.best_by == "held-out" else train_bits
        better = judged < float(self._progress.best)
        if better:
            self._progress.best.assign(judged)
            self._progress.stale.assign(0)
        else:
            self._progress.stale.assign_add(1)
        self._run_dir.append_metrics(row)  # first: a row of a step that was not saved is dropped on resuming
        if better:
            self._checkpoints.save_best(step)
        self._checkpoints.save_latest(step)
        self._draw()
        self._listener.evaluated(row)
        return bool(training.patience) and int(self._progress.stale) >= training.patience

    def _draw(self, judged: tuple[int, float] | None = None) -> None:
        plot_curves(
            self._run_dir.read_metrics(),
            self._run_dir.read_losses(),
            self._run_dir.curves_file,
            title=f"{self._run_dir.path.resolve().name}: {self.plan.weights:,} weights",
            held_out_characters=self._text.held_out_characters,
            judged=judged,
        )

    def _save(self, step: int) -> None:
        if self._placement.chief:
            self._check_weights(step)
            self._checkpoints.save_latest(step)

    def _check_weights(self, step: int) -> None:
        """Keeps a checkpoint from being replaced by weights that are no numbers."""
        if not all(np.isfinite(weight).all() for weight in self.network.model.get_weights()):
            self._diverged(step, math.nan)

    def _sample(self, step: int, *, best: bool = False) -> None:
        if not self._placement.chief:
            return
        for sample in self._sampler(step, epoch=step / self.plan.steps_per_epoch, best=best):
            self._listener.sampled(sample)
            log_sample(sample)
            path = self._run_dir.samples / f"step-{step:08d}-temperature-{sample.temperature:g}.txt"
            path.write_text(f"{sample.seed_text}|{sample.text}\n", encoding="utf-8")

    def _diverged(self, step: int, bits: float) -> None:
        guess = guess_bits(self._text.vocabulary.size)
        best = best_step(self._run_dir.checkpoints)
        kept = "No checkpoint was saved yet." if best is None else f"The best checkpoint, of step {best:,}, is intact."
        if best is not None and not (self._run_dir.figures_of(best)["train_bits"] or math.nan) < guess:
            kept = "No checkpoint of it is better than guessing."
        raise DivergedError(
            Sentence(
                f"The loss diverged after step {step:,}: it is {bits:.4g} bits per character, where guessing takes "
                f"{guess:.3g}; start a new run with a lower {{learning_rate}} (it is "
                f"{self._config.training.learning_rate:g}) or with {{clipping}}. {kept}",
                clipping={"clip_norm": 1},
            )
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Gives the signals their handlers back in the end: see `_heed_signals`."""
        before = {number: signal.getsignal(number) for number in _STOPPING}
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _heed_signals(self) -> None:
        """Turns the first Ctrl-C or SIGTERM into a request to save and stop; a second Ctrl-C interrupts at once.

        Until the first step is done there is nothing to save, and its compiling should not be waited for: before, a
        signal does what it did before the run.
        """
        if threading.current_thread() is threading.main_thread():
            for number in _STOPPING:
                if signal.getsignal(number) != signal.SIG_IGN:  # as behind nohup
                    signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, number: int, _: FrameType | None) -> None:
        if self._signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number
