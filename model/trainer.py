"""Trains a network on a corpus, inside a run folder, under a tf.distribute strategy.

`windows` feeds it, `network` differentiates, `optimizer` updates, `checkpoints` saves. What happens on the way is told
to a `Listener`; the command line's listener draws the progress bar. B is the global batch size, T the window length.
"""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from charflow.model.checkpoints import Checkpoints, Progress
from charflow.model.config import Config
from charflow.model.curves import plot_curves
from charflow.model.evaluation import Evaluation, Evaluator
from charflow.model.network import Network
from charflow.model.optimizer import learning_rate, make_optimizer
from charflow.model.plan import Plan, make_plan
from charflow.model.run_dir import RunDir
from charflow.model.samples import Sample, Sampler
from charflow.model.strategy import check_batch
from charflow.pipeline.corpus import Corpus
from charflow.pipeline.errors import UserError
from charflow.pipeline.errors import reason as cause
from charflow.pipeline.windows import make_windows

_DIVERGED = 1e4  # nats a character; a loss that is not below it, or not a number, will not come back
_SECONDS_PER_CALL = 0.5  # of steps in one call of the graph: often enough for Ctrl-C and the progress bar
_MOST_STEPS_PER_CALL = 1000
_SAVE_EVERY = 300.0  # seconds between saves where evaluations are further apart
_MONITORED_CHARS = 1 << 15  # held-out characters that the evaluations during training score


@dataclass(frozen=True)
class Report:
    """Where a run stands, after some steps.

    Attributes:
        step: batches done.
        epoch: passes over all windows, with a fraction.
        progress: share of the run that is done, by whichever limit will end it first.
        train_bits: mean training loss since the last report, bits per target character.
        windows_per_second: over the same steps.
        elapsed: seconds of training.
    """

    step: int
    epoch: float
    progress: float
    train_bits: float
    windows_per_second: float
    elapsed: float


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        reason: "finished", "stopped early" or "interrupted".
        step: batches done.
        elapsed: seconds of training.
        windows_per_second: mean over this session, evaluations not counted.
        train_bits: mean training loss since the last evaluation, bits per target character.
        held_out: evaluation of the best checkpoint on the whole held-out tail; None without one.
    """

    reason: str
    step: int
    elapsed: float
    windows_per_second: float
    train_bits: float
    held_out: Evaluation | None


class Listener(Protocol):
    """Is told what happens; every method may do nothing."""

    def planned(self, plan: Plan) -> None:
        """Before the first step."""

    def advanced(self, report: Report) -> None:
        """About twice a second."""

    def evaluated(self, row: dict[str, Any]) -> None:
        """After each evaluation, with the row written to the metrics file."""

    def sampled(self, sample: Sample) -> None:
        """After the first and last epoch, or as often as the configuration says."""


class Trainer:
    """One run, new or resumed.

    Args:
        config: what to do; its corpus settings have already made `corpus`.
        corpus: what to learn.
        run_dir: where to write; locked by the caller.
        strategy: where to compute.
        listener: who is told.

    Raises:
        UserError: the training text is shorter than a window, or the replicas cannot share the batch.
    """

    def __init__(
        self, config: Config, corpus: Corpus, run_dir: RunDir, strategy: tf.distribute.Strategy, listener: Listener
    ) -> None:
        self._config, self._corpus, self._run_dir = config, corpus, run_dir
        self._strategy, self._listener = strategy, listener
        check_batch(strategy, config.training.batch_size)
        training = config.training
        with strategy.scope():
            self.network = Network(config.network, corpus.vocabulary.size, targets=training.targets, seed=training.seed)
            self._optimizer = make_optimizer(training)
            self._optimizer.build(self.network.model.trainable_variables)
        self._progress = Progress()  # host variables, not mirrored
        self.plan = make_plan(config, corpus, self.network, self._optimizer)
        self._checkpoints = Checkpoints(run_dir.checkpoints, self.network.model, self._optimizer, self._progress)
        decoder = self.network.decoder("stream", training.window_length)
        self._evaluate = Evaluator(decoder)
        self._sampler = Sampler(decoder, corpus, seed=training.seed)
        self._run_steps = self._make_run_steps()
        self._interrupted = False

    def resume(self) -> None:
        """Continues from the latest checkpoint of the run folder, or from the beginning if there is none yet.

        Raises:
            UserError: the checkpoint is damaged, or the run has already come to its end.
        """
        self._checkpoints.restore_latest()
        self._run_dir.forget_metrics_after(int(self._progress.step))
        if self._share_done(int(self._progress.step), float(self._progress.elapsed)) >= 1.0:
            raise UserError(
                f"{self._run_dir.path} has already been trained to its end ({int(self._progress.step):,} steps, "
                f"{float(self._progress.elapsed):.0f} s): give a higher --epochs, --steps or --time-limit."
            )

    def train(self) -> Result:
        """Trains until the first limit, an early stop or Ctrl-C; saves, evaluates and draws on the way.

        Raises:
            UserError: the loss is no longer a number, or a file cannot be written.
        """
        self._listener.planned(self.plan)
        try:
            with self._signals(), tf.summary.create_file_writer(str(self._run_dir.logs)).as_default():
                reason, windows_per_second, train_bits = self._loop()
        except OSError as error:
            raise UserError(f"{error.filename or self._run_dir.path} cannot be written: {cause(error)}.") from error
        step, elapsed = int(self._progress.step), float(self._progress.elapsed)
        held_out = None
        if reason != "interrupted":
            if self._checkpoints.has_best:
                self._checkpoints.restore_best()
            if len(self._corpus.held_out_ids):
                held_out = self._evaluate(self._corpus.held_out_ids, before=self._corpus.train_ids)
        return Result(
            reason=reason,
            step=step,
            elapsed=elapsed,
            windows_per_second=windows_per_second,
            train_bits=train_bits,
            held_out=held_out,
        )

    def _loop(self) -> tuple[str, float, float]:
        training, plan = self._config.training, self.plan
        step, elapsed = int(self._progress.step), float(self._progress.elapsed)
        batches = iter(self._batches(first_step=step))
        began = time.monotonic() - elapsed
        next_evaluation = self._next_evaluation(self._share_done(step, elapsed))
        next_sample = self._next_sample(step)
        saved_at, rate, size = time.monotonic(), 0.0, 1
        loss_sum, loss_steps, step_seconds, first_step = 0.0, 0, 0.0, step
        reason = "finished"
        while True:
            size = self._call_size(step, elapsed, rate, next_evaluation, next_sample, previous=size)
            rates = [
                learning_rate(
                    training,
                    step=step + k,
                    progress=self._share_done(step + k, elapsed + (k / rate if rate else 0.0)),
                )
                for k in range(size)
            ]
            started = time.monotonic()
            loss = float(self._run_steps(batches, tf.constant(rates, tf.float32), tf.constant(step, tf.int64)))
            seconds = time.monotonic() - started
            if not loss < _DIVERGED:
                self._diverged(step, loss)
            # The first call traces and compiles the graph: it says nothing about the pace.
            if step > first_step:
                step_seconds += seconds
                rate = (step + size - first_step - 1) / step_seconds
            step += size
            elapsed = time.monotonic() - began
            loss_sum, loss_steps = loss_sum + loss * size, loss_steps + size
            share = self._share_done(step, elapsed)
            self._listener.advanced(
                Report(
                    step=step,
                    epoch=step / plan.steps_per_epoch,
                    progress=min(1.0, share),
                    train_bits=loss / math.log(2),
                    windows_per_second=size * plan.batch_size / seconds,
                    elapsed=elapsed,
                )
            )
            self._progress.step.assign(step)
            self._progress.elapsed.assign(elapsed)
            done = share >= 1.0
            if self._interrupted and not done:
                self._save(step)
                reason = "interrupted"
                break
            if share >= next_evaluation or done:
                train_bits = loss_sum / loss_steps / math.log(2)
                stop_early = self._milestone(step, elapsed, train_bits, rate, rates[-1])
                loss_sum, loss_steps, saved_at = 0.0, 0, time.monotonic()
                next_evaluation = self._next_evaluation(share)
                if stop_early:
                    reason, done = "stopped early", True
            elif time.monotonic() - saved_at > _SAVE_EVERY:
                self._save(step)
                saved_at = time.monotonic()
            if done or step >= next_sample:
                self._sample(step)
                next_sample = self._next_sample(step)
            elapsed = time.monotonic() - began
            if done:
                break
        last = self._run_dir.read_metrics()
        train_bits = last[-1]["train_bits"] if last else loss_sum / max(1, loss_steps) / math.log(2)
        return reason, rate * plan.batch_size, train_bits

    def _milestone(self, step: int, elapsed: float, train_bits: float, rate: float, learning_rate: float) -> bool:
        """Evaluates, keeps what is best, saves, draws; says whether to stop early."""
        training = self._config.training
        held_out = self._corpus.held_out_ids[:_MONITORED_CHARS]
        found = self._evaluate(held_out, before=self._corpus.train_ids) if len(held_out) else None
        if found and not found.bits_per_char < _DIVERGED:
            self._diverged(step, found.bits_per_char)
        self._check_weights(step)
        row = {
            "step": step,
            "epoch": step / self.plan.steps_per_epoch,
            "elapsed": elapsed,
            "train_bits": train_bits,
            "held_out_bits": found.bits_per_char if found else None,
            "held_out_accuracy": found.accuracy if found else None,
            "windows_per_second": rate * self.plan.batch_size,
            "learning_rate": learning_rate,
        }
        for name in ("train_bits", "held_out_bits", "held_out_accuracy", "windows_per_second", "learning_rate"):
            if row[name] is not None:
                tf.summary.scalar(name, row[name], step=step)
        judged = found.bits_per_char if found and training.best_by == "held-out" else train_bits
        better = judged < float(self._progress.best)
        if better:
            self._progress.best.assign(judged)
            self._progress.stale.assign(0)
        else:
            self._progress.stale.assign_add(1)
        if better:
            self._checkpoints.save_best(step)
        self._checkpoints.save_latest(step)
        self._run_dir.append_metrics(row)
        plot_curves(
            self._run_dir.read_metrics(),
            self._run_dir.curves_file,
            title=f"{self._run_dir.path.name}: {self.plan.weights:,} weights",
        )
        self._listener.evaluated(row)
        return bool(training.patience) and int(self._progress.stale) >= training.patience

    def _save(self, step: int) -> None:
        self._check_weights(step)
        self._checkpoints.save_latest(step)

    def _check_weights(self, step: int) -> None:
        """Keeps a checkpoint from being replaced by weights that are no numbers."""
        if not all(np.isfinite(weight).all() for weight in self.network.model.get_weights()):
            self._diverged(step, math.nan)

    def _sample(self, step: int) -> None:
        for sample in self._sampler(step, epoch=step / self.plan.steps_per_epoch):
            self._listener.sampled(sample)
            path = self._run_dir.samples / f"step-{step:08d}-temperature-{sample.temperature:g}.txt"
            path.write_text(f"{sample.seed_text}|{sample.text}\n", encoding="utf-8")

    def _diverged(self, step: int, loss: float) -> None:
        where = "No checkpoint was saved yet."
        if kept := self._run_dir.read_metrics():
            where = f"The checkpoints up to step {kept[-1]['step']:,} are intact."
        raise UserError(
            f"The loss diverged after step {step:,} (it is {loss:g}): start a new run with a lower --learning-rate "
            f"(it is {self._config.training.learning_rate:g}) or with --clip-norm 1. {where}"
        )

    def _batches(self, first_step: int) -> tf.distribute.DistributedDataset:
        training = self._config.training
        windows = make_windows(
            self._corpus.train_ids,
            length=training.window_length,
            shift=training.window_shift,
            batch_size=self.plan.batch_size,
            targets=training.targets,
            shuffle_seed=training.seed,
            epochs=None,
            first_step=first_step,
            drop_remainder=True,
        )
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return self._strategy.experimental_distribute_dataset(windows.with_options(options))

    def _make_run_steps(self) -> Any:
        """Builds the function that does as many steps as it gets learning rates, and returns their mean loss."""
        strategy, network, optimizer = self._strategy, self.network, self._optimizer
        training = self._config.training
        per_batch = self.plan.batch_size * (training.window_length if training.targets == "all" else 1)
        replicas = strategy.num_replicas_in_sync

        def replica_step(inputs: tf.Tensor, targets: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
            loss, gradients = network.loss_and_gradients(inputs, targets, step)
            # Sum over replicas before clipping, so that the update does not depend on their number. Keras sums
            # once more when it applies the gradients: hence the division.
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, [g / per_batch for g in gradients])
            if training.clip_norm:
                gradients, _ = tf.clip_by_global_norm(gradients, training.clip_norm)
            optimizer.apply([g / replicas for g in gradients])
            return loss / per_batch

        @tf.function(reduce_retracing=True)
        def run_steps(batches: Iterator[Any], rates: tf.Tensor, first_step: tf.Tensor) -> tf.Tensor:
            total = 0.0
            for k in tf.range(tf.size(rates)):
                optimizer.learning_rate.assign(rates[k])
                inputs, targets = next(batches)
                loss = strategy.run(replica_step, args=(inputs, targets, first_step + tf.cast(k, tf.int64)))
                total += strategy.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None)
            return total / tf.cast(tf.size(rates), tf.float32)

        return run_steps

    def _share_done(self, step: int, elapsed: float) -> float:
        training = self._config.training
        shares = [0.0]
        if training.steps:
            shares.append(step / training.steps)
        if training.epochs:
            shares.append(step / (training.epochs * self.plan.steps_per_epoch))
        if training.time_limit:
            shares.append(elapsed / training.time_limit)
        return max(shares)

    def _next_evaluation(self, share: float) -> float:
        count = self._config.training.evaluations
        return (math.floor(share * count + 1e-9) + 1) / count

    def _next_sample(self, step: int) -> float:
        """The step after which to sample next: the first epoch's end, then every `sample_every` epochs."""
        per_epoch = self.plan.steps_per_epoch
        every = self._config.training.sample_every
        if step < per_epoch and not every:
            return per_epoch
        return (step // (per_epoch * every) + 1) * per_epoch * every if every else math.inf

    def _call_size(
        self, step: int, elapsed: float, rate: float, next_evaluation: float, next_sample: float, previous: int
    ) -> int:
        """Steps for the next call: about half a second of them, and never past a limit, evaluation or sample."""
        wanted = min(rate * _SECONDS_PER_CALL, previous * 4) if rate else 1
        training = self._config.training
        limits = [limit for limit in (training.steps, training.epochs * self.plan.steps_per_epoch) if limit]
        left: list[float] = [math.ceil(limit * next_evaluation - 1e-9) - step for limit in limits]
        left.append(next_sample - step)
        if rate and training.time_limit:
            left.append(math.ceil((training.time_limit * next_evaluation - elapsed) * rate))
        return int(max(1, min([wanted, _MOST_STEPS_PER_CALL, *left])))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Turns the first Ctrl-C into a request to save and stop; the second one interrupts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask_to_stop(number: int, frame: Any) -> None:
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True

        before = signal.signal(signal.SIGINT, ask_to_stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
