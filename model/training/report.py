"""What a run tells while it trains, and what it has come to in the end.

`trainer` and `chief` report; the command line and `sweep` listen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from charflow.model.evaluation.evaluation import Evaluation
from charflow.model.evaluation.memorisation import Memorisation
from charflow.model.training.plan import Plan
from charflow.model.training.samples import Sample

# Why a run takes no more steps: its limit, its patience, Ctrl-C, SIGTERM.
StopReason = Literal["finished", "stopped early", "interrupted", "preempted"]
ENDED: tuple[StopReason, ...] = ("finished", "stopped early")  # by itself, not by a signal


@dataclass(frozen=True)
class Report:
    """Where a run stands, after some steps.

    Attributes:
        step: batches done.
        epoch: passes over all windows, with a fraction.
        progress: share of the run that is done, by whichever limit will end it first.
        train_bits: mean training loss since the last report, bits per target character.
        windows_per_second: over the same steps.
        elapsed: seconds of training, in all sessions.
        left: seconds of training to come, at the pace since the graph was compiled; None while that is unknown.
        losses: of each of these steps, nats per target character, float32 [steps].
    """

    step: int
    epoch: float
    progress: float
    train_bits: float
    windows_per_second: float
    elapsed: float
    left: float | None
    losses: np.ndarray


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        reason: why it took no more steps.
        step: batches done.
        elapsed: seconds of training.
        windows_per_second: mean over this session, evaluations not counted.
        best_step: after which the best weights were saved, those that export and generate take; 0: none were saved.
        train_bits: mean training loss of the steps before their evaluation, bits per target character; None where it
            is not known.
        guess_bits: bits per character that guessing takes, all characters alike.
        held_out: their evaluation on the held-out text, as `charflow evaluate` gives it; None without one, or where the
            run was stopped before its end.
        signal: that asked the run to stop, even if it had just come to its end by itself; else 0.
    """

    reason: StopReason
    step: int
    elapsed: float
    windows_per_second: float
    best_step: int
    train_bits: float | None
    guess_bits: float
    held_out: Evaluation | None
    memorisation: Memorisation | None = None
    signal: int = 0

    @property
    def ended(self) -> bool:
        """Whether it came to its end, and was not stopped by a signal."""
        return self.reason in ENDED

    @property
    def beats_guessing(self) -> bool:
        """Whether the best weights predict better than guessing, as far as that is known."""
        bits = self.held_out.bits_per_char if self.held_out else self.train_bits
        return bits is None or bits < self.guess_bits


class Listener(Protocol):
    """Is told what happens while a run trains; every method may do nothing, and what it raises ends the run.

    What `charflow.model.train` is given needs no base class, and no more of these methods than it wants:

    >>> class Shown:
    ...     def evaluated(self, row):
    ...         print(row["step"], row["held_out_part_bits"])
    >>> train("chat.csv", "runs/a", time_limit=60, listener=Shown())  # doctest: +SKIP

    Of several workers each tells its own; `evaluated` and `sampled` the chief alone.
    """

    def planned(self, plan: Plan) -> None:
        """Before the first step."""

    def resumed(self, step: int, elapsed: float, damaged: Sequence[str]) -> None:
        """Before that, where the run goes on after so many steps and seconds of training.

        `damaged` names checkpoints that cannot be read, for which the one before them was taken.
        """

    def counting(self, seconds: float | None) -> None:
        """Before that, where what everybody wrote is counted: when it begins, and when it took so many seconds."""

    def ending(self, doing: str, share: float = 0.0) -> None:
        """Before, and while, something is done after the last step: what, and the share of it that is done."""

    def advanced(self, report: Report) -> None:
        """About twice a second."""

    def evaluated(self, row: dict[str, Any]) -> None:
        """After each evaluation, with the row written to the metrics file.

        It has `step`, `epoch`, `elapsed` (seconds), `train_bits` (bits per target character since the last row),
        `held_out_part_bits`, `held_out_part_accuracy`, `held_out_part_characters`, `windows_per_second` and
        `learning_rate`; what is not known is None.
        """

    def sampled(self, sample: Sample) -> None:
        """After the first epoch, or as often as the configuration says; in the end by the best weights."""
