"""When a run ends, evaluates, samples and saves, and how many steps one call of the graph may take until then.

`trainer` asks; nothing here looks at a clock.
"""

import math

from charflow.model.config import TrainingConfig

_SECONDS_PER_CALL = 0.5  # of steps in one call of the graph: often enough for Ctrl-C and the progress bar
_MOST_STEPS_PER_CALL = 1000
_STEPS_TO_EVALUATIONS = 3  # how many times as long as an evaluation a limited run takes steps before the next
_LONGEST_WITHOUT = 0.25  # share of a run


class Timetable:
    """The limits of a run.

    Args:
        training: the limits, and how many evaluations, samples and checkpoints there are.
        steps_per_epoch: of its text.
    """

    def __init__(self, training: TrainingConfig, steps_per_epoch: int) -> None:
        self._training, self._per_epoch = training, steps_per_epoch

    def share_done(self, step: int, elapsed: float) -> float:
        """Share of the run after so many steps and seconds, by the limit that ends it first; 1 and more is its end."""
        training = self._training
        shares = [0.0]
        if training.steps:
            shares.append(step / training.steps)
        if training.epochs:
            shares.append(step / (training.epochs * self._per_epoch))
        if training.time_limit:
            shares.append(elapsed / training.time_limit)
        return max(shares)

    def seconds_left(self, step: int, elapsed: float, rate: float) -> float | None:
        """Seconds of training to the limit that ends the run first, at `rate` steps a second; None while unknown."""
        training = self._training
        limits = [limit for limit in (training.steps, training.epochs * self._per_epoch) if limit]
        if limits and not rate:
            return None
        left = [(limit - step) / rate for limit in limits]
        if training.time_limit:
            left.append(training.time_limit - elapsed)
        return max(0.0, min(left))

    def next_evaluation(self, share: float, took: float = 0.0) -> float:
        """The share of the run at which to evaluate next.

        A quarter of a limited time goes to evaluations at most, unless that left more than a quarter without any.

        Args:
            share: of the run that is done.
            took: seconds of the last evaluation, which lie before.
        """
        count, limit = self._training.evaluations, self._training.time_limit
        if limit:
            share += min(_STEPS_TO_EVALUATIONS * took / limit, _LONGEST_WITHOUT)
        return min(1.0, (math.floor(share * count + 1e-9) + 1) / count)

    def next_sample(self, step: int) -> float:
        """The step after which to sample next: the first epoch's end, then every `sample_every` epochs."""
        every = self._training.sample_every
        if step < self._per_epoch and not every:
            return self._per_epoch
        return (step // (self._per_epoch * every) + 1) * self._per_epoch * every if every else math.inf

    def save_is_due(self, step: int, seconds: float) -> bool:
        """Whether to save, so many seconds after the last time."""
        training = self._training
        by_steps = training.checkpoint_steps and step % training.checkpoint_steps == 0
        return bool(by_steps or (training.checkpoint_seconds and seconds > training.checkpoint_seconds))

    def call_size(
        self, step: int, elapsed: float, rate: float, next_evaluation: float, next_sample: float, previous: int
    ) -> int:
        """Steps for the next call: about half a second of them, and never past a limit, evaluation, sample or save.

        Args:
            step: steps done.
            elapsed: seconds of training.
            rate: steps per second; 0 while unknown.
            next_evaluation: as a share of the run.
            next_sample: as a step.
            previous: size of the last call.
        """
        wanted = min(rate * _SECONDS_PER_CALL, previous * 4) if rate else 1
        training = self._training
        limits = [limit for limit in (training.steps, training.epochs * self._per_epoch) if limit]
        left: list[float] = [math.ceil(limit * next_evaluation - 1e-9) - step for limit in limits]
        left.append(next_sample - step)
        if training.checkpoint_steps:
            left.append(training.checkpoint_steps - step % training.checkpoint_steps)
        if rate and training.time_limit:
            left.append(math.ceil((training.time_limit * next_evaluation - elapsed) * rate))
        return int(max(1, min([wanted, _MOST_STEPS_PER_CALL, *left])))
