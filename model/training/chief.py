"""What one worker does for all beside training: it evaluates, keeps the best, samples, draws, and writes it all down.

`trainer` has one where it is the chief and calls it when `timetable` says that something is due.
"""

import math
import time
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from charflow.model.config import Config
from charflow.model.decoding.decoder import make_decoder
from charflow.model.decoding.writer import Writer
from charflow.model.evaluation.evaluation import MOST_SCORED, PART, Evaluation, Evaluator, evaluate_held_out
from charflow.model.evaluation.memorisation import Memorisation, memorised
from charflow.model.evaluation.memory_fit import MemoryFit
from charflow.model.memory.memory import Memory
from charflow.model.network.network import Network
from charflow.model.run.base import base_of
from charflow.model.run.checkpoints import Checkpoints, Progress
from charflow.model.run.run_dir import RunDir
from charflow.model.training.curves import plot_curves
from charflow.model.training.diverged import DivergenceGuard
from charflow.model.training.event_log import log_evaluation, log_result, log_sample, log_settings, log_steps
from charflow.model.training.plan import Plan
from charflow.model.training.report import Listener
from charflow.model.training.samples import SampleWriter
from charflow.model.training.stop_request import StopRequest
from charflow.model.training_text import TrainingText
from charflow.pipeline.errors import counted

_DRAWN_EVERY = 10.0  # seconds: a picture takes a fifth of one, and evaluations may come faster


class CutShort(Exception):  # noqa: N818  # it is no error
    """A signal came while the run was judged in the end, with everything saved."""


@dataclass(kw_only=True)
class Chief:
    """The chief of one run; every step that it is told of is one that is done.

    Attributes:
        config: what the run is.
        text: what it learns, and is judged on.
        run_dir: where to write.
        plan: sizes of the run.
        network: what is trained.
        checkpoints: of weights, optimizer and `progress`.
        progress: where the run stands.
        guard: looks at what is found, and ends a run that has diverged.
        stop: a signal that comes while the run is judged in the end cuts that short.
        listener: who is told.
        memory: what is joined to the network; None where it stands alone.
    """

    config: Config
    text: TrainingText
    run_dir: RunDir
    plan: Plan
    network: Network
    checkpoints: Checkpoints
    progress: Progress
    guard: DivergenceGuard
    stop: StopRequest
    listener: Listener
    memory: Memory | None = None

    def __post_init__(self) -> None:
        make = partial(
            make_decoder, self.network, "stream", self.config.training.window_length, self.text.vocabulary.never_written
        )
        decoder = make(self.memory)
        self._fit_memory = MemoryFit(make(), self.memory, self.text) if self.memory else None
        self._evaluate, self._decoder, self._writer = Evaluator(decoder, self._scored), decoder, Writer(decoder)
        self._write = SampleWriter(self._writer, self.text, seed=self.config.training.seed)
        self._drawn = time.monotonic()  # when the curves were; nothing is there to be drawn yet
        self._to_judge = 0  # held-out characters that are being scored in the end

    def begin(self) -> None:
        """Begins the run's page of TensorBoard."""
        log_settings(self.config, run=self.run_dir.path.resolve().name)

    def note_steps(self, step: int, losses: np.ndarray, rates: list[float]) -> None:
        """Writes the losses [steps] and learning rates of the last steps down."""
        self.run_dir.append_losses(losses)
        log_steps(step, losses, rates)

    def evaluate(self, step: int, elapsed: float, *, windows_per_second: float, learning_rate: float) -> bool:
        """Evaluates, keeps what is best, saves, draws if it is time to; says whether to stop early."""
        self._weigh_memory()
        found = evaluate_held_out(self._evaluate, self.text, PART)
        if found:
            self.guard.check_held_out(step, found.bits_per_char)
        self.guard.check_weights(step, self.network.model.weights)
        train_bits = self._train_bits(since=self.last_evaluated)
        row = {
            "step": step,
            "epoch": step / self.plan.steps_per_epoch,
            "elapsed": elapsed,
            "train_bits": train_bits,
            "held_out_part_bits": found.bits_per_char if found else None,
            "held_out_part_accuracy": found.accuracy if found else None,
            "held_out_part_characters": found.characters if found else None,
            "windows_per_second": windows_per_second,
            "learning_rate": learning_rate,
        }
        log_evaluation(row)
        by_held_out = self.config.training.best_by == "held-out"
        bits = found.bits_per_char if found and by_held_out else train_bits
        better = self._improves(math.inf if bits is None else bits)
        self.run_dir.append_metrics(row)  # first: a row of a step that was not saved is dropped on resuming
        self.checkpoints.save(step, best=better)
        if time.monotonic() - self._drawn >= _DRAWN_EVERY:
            self.draw()
        self.listener.evaluated(row)
        return self.progress.is_out_of(self.config.training.patience)

    def save(self, step: int, *, before_leaving: bool = False) -> None:
        """Saves where the run stands; waits for that where no step follows."""
        self._weigh_memory()
        self.guard.check_weights(step, self.network.model.weights)
        self.checkpoints.save(step)
        if before_leaving:
            self.checkpoints.wait()

    def sample(self, step: int, *, best: bool = False) -> None:
        """Lets the weights write, and keeps the texts."""
        for sample in self._write(step, epoch=step / self.plan.steps_per_epoch, best=best):
            self.listener.sampled(sample)
            log_sample(sample)
            path = self.run_dir.samples / f"step-{step:08d}-temperature-{sample.temperature:g}.txt"
            path.write_text(f"{sample.seed_text}|{sample.text}\n", encoding="utf-8")

    def judge_best(self, reason: str, step: int) -> tuple[Evaluation | None, Memorisation]:
        """Takes the best weights, lets them write, scores them on everything held out, and notes what they are.

        Returns:
            What they are on the held-out text, and what of the training text they know by heart.

        Raises:
            CutShort: a signal came meanwhile.
        """
        self.checkpoints.restore_best()
        best = int(self.progress.step)
        self.sample(best, best=True)
        self._to_judge = min(self.text.held_out_characters, MOST_SCORED)
        held_out = evaluate_held_out(self._evaluate, self.text, MOST_SCORED)
        log_result(held_out, best)
        self.draw((best, held_out.bits_per_char) if held_out else None)
        known = memorised(self._decoder, self._writer, self.text, self.config, self._searched)
        self.run_dir.write_result(
            {
                "step": step,
                "reason": reason,
                "best_step": best,
                "held_out": asdict(held_out) if held_out else None,
                "memorisation": asdict(known),
            }
        )
        return held_out, known

    def draw(self, judged: tuple[int, float] | None = None) -> None:
        """Draws the curves of what there is by now; see `plot_curves`."""
        self._drawn = time.monotonic()
        base = base_of(self.run_dir)
        plot_curves(
            self.run_dir.read_metrics(),
            self.run_dir.read_losses(),
            self.run_dir.curves_file,
            title=f"{self.run_dir.path.resolve().name}: {self.plan.weights:,} weights",
            held_out_characters=self.text.held_out_characters,
            judged=judged,
            base_rows=base.run_dir.read_metrics() if base else (),
        )

    def _weigh_memory(self) -> None:
        """Fits the memory, if there is one, to the weights that are about to be judged or saved with it."""
        if self._fit_memory:
            self._fit_memory()

    @property
    def last_evaluated(self) -> int:
        """The step of the last evaluation; 0 before there is one."""
        rows = self.run_dir.read_metrics()
        return rows[-1]["step"] if rows else 0

    def _improves(self, bits: float) -> bool:
        """Notes whether this is the best figure so far."""
        better = bits < float(self.progress.best)
        if better:
            self.progress.best.assign(bits)
            self.progress.stale.assign(0)
        else:
            self.progress.stale.assign_add(1)
        return better

    def _scored(self, characters: int) -> None:
        """Tells how far the last evaluation is, and lets a signal end it: what it gives is all that is not saved."""
        if characters < self._to_judge:
            self.listener.ending(
                f"evaluating on {counted(self._to_judge, 'held-out character')}", characters / self._to_judge
            )
            if self.stop.signal:
                raise CutShort

    def _searched(self, doing: str, share: float) -> None:
        """Tells how far the report of what is known by heart is, and lets a signal end it where much is left."""
        self.listener.ending(doing, share)
        if 0 < share < 1 and self.stop.signal:
            raise CutShort

    def _train_bits(self, since: int) -> float | None:
        """The mean loss of the steps since then, None before the first; from the file, which outlives the process."""
        losses = self.run_dir.read_losses()[since:]
        if not len(losses):
            return None
        known = losses[~np.isnan(losses)]
        return float(known.mean(dtype=np.float64) / math.log(2)) if len(known) else math.nan
