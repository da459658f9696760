"""Shows a run while it trains: its plan, a progress bar, evaluations and samples.

`train` hands it to `start_run` as the listener.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from charflow.cli import noticed
from charflow.cli.terminal import console
from charflow.pipeline.errors import counted

if TYPE_CHECKING:
    from charflow.model.network.network import LayerSize
    from charflow.model.training.plan import Plan
    from charflow.model.training.report import Report
    from charflow.model.training.samples import Sample
    from charflow.model.training_text import TrainingText

_SURE_AFTER = 1.0  # seconds of training after which its pace says how long it will take
_WORTH_TELLING = 5.0  # seconds left; who has fewer to wait sees the end before a forecast is of use


class TrainingScreen:
    """Is told what happens in a run, and shows it.

    Args:
        text: what is learned.
        quiet: whether standard output is for something else than samples.
        chief: whether this worker shows what is the same for all.
    """

    def __init__(self, text: "TrainingText", *, quiet: bool, chief: bool) -> None:
        self._text, self._quiet, self._chief = text, quiet, chief
        self._told_time = self._told_columns = self._unread = False
        self._resumed = self._doing = ""
        self._compiled_at = float("inf")  # seconds of training at which the first step was done
        self._samples: list[Sample] = []
        self._progress = console.err.progress(shown=chief)
        self._task = self._progress.add_task("training", total=1.0, figures="compiling …")

    def __enter__(self) -> "TrainingScreen":
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def resumed(self, step: int, elapsed: float, damaged: Sequence[str]) -> None:
        for name in damaged:
            console.say(f"warning: the checkpoint {name} is damaged; the one before it is taken.")
        self._resumed = (
            f"step {step:,}, {console.duration(elapsed)} of training" if step else "nothing: no step was saved"
        )

    def counting(self, seconds: float | None) -> None:
        noticed.counting(seconds)

    def planned(self, plan: "Plan") -> None:
        if self._chief:
            noticed.warn(self._text.corpus.noticed)
            console.pairs(console.err, [*self._text_rows(plan), *self._machine_rows(plan)])
            self._progress.start()

    def _text_rows(self, plan: "Plan") -> list[tuple[str, str]]:
        corpus = self._text.corpus
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in corpus.dropped.items())
        return [
            ("messages", f"{plan.messages:,} of {counted(corpus.rows, 'row')}" + (f" ({dropped})" if dropped else "")),
            *noticed.longest(corpus.noticed),
            (
                "characters",
                f"{plan.train_characters:,} to learn, {plan.held_out_characters:,} held out, "
                f"{plan.distinct_characters:,} distinct",
            ),
            (
                "windows",
                f"{plan.windows:,}, {counted(plan.steps_per_epoch, 'step')} of {plan.batch_size:,} an epoch"
                + (f" (not {plan.batch_size_wanted:,}: there are no more)" if plan.cut else ""),
            ),
        ]

    def _machine_rows(self, plan: "Plan") -> list[tuple[str, str]]:
        here = plan.placement
        return [
            *([("starts from", console.Copied(plan.start_from))] if plan.start_from else []),
            ("weights", f"{plan.weights:,} ({_layers(plan.layers)})"),
            *(
                [("remembers", f"{plan.contexts:,} contexts, {console.size(plan.contexts_bytes)}")]
                if plan.contexts
                else []
            ),
            ("memory", f"{console.size(plan.host_bytes)} on the host, {console.size(plan.device_bytes)} on the device"),
            (
                "computes on",
                f"{', '.join(here.devices)} under {here.strategy}"
                + (f", {here.replicas} replicas" if here.replicas > 1 else "")
                + (f" of {here.workers} workers" if here.workers > 1 else ""),
            ),
            *([("goes on after", self._resumed)] if self._resumed else []),
            ("ends after", plan.limit),
        ]

    def advanced(self, report: "Report") -> None:
        left = "" if report.left is None else f"  {console.duration(report.left)} left"
        self._compiled_at = min(self._compiled_at, report.elapsed)
        self._progress.update(
            self._task,
            completed=report.progress,
            figures=f"{report.train_bits:.3f} bits/char  {report.windows_per_second:,.0f} windows/s{left}",
        )
        measured = report.elapsed - self._compiled_at
        if self._chief and report.left is not None and measured > _SURE_AFTER and not self._told_time:
            self._told_time = True
            if report.left >= _WORTH_TELLING:
                console.err.print(f"This will take about {console.duration(report.left)}.")

    def evaluated(self, row: dict[str, Any]) -> None:
        held_out, train_bits = row["held_out_part_bits"], row["train_bits"]
        training = "" if train_bits is None else f"{train_bits:.3f}"
        if not self._told_columns:
            self._told_columns = True
            self._name_columns(judged=held_out is not None)
        console.err.print(
            f"{row['step']:>8,} {row['epoch']:>7.2f} {training:>9} "
            + (f"{held_out:>9.3f} " if held_out is not None else "")
            + f"{row['windows_per_second']:>10,.0f} {console.duration(row['elapsed']):>11}"
        )

    def _name_columns(self, *, judged: bool) -> None:
        """Says once what the figures are: those while training are of a part of the held-out text if that is long."""
        from charflow.model.evaluation.evaluation import PART

        whole = self._text.held_out_characters
        held_out = f"{'held out' if whole <= PART else 'held out*':>9} " if judged else ""
        part = f" (* on the first {PART:,} of {whole:,} characters)" if judged and whole > PART else ""
        console.err.print(f"Bits per character{part}:")
        console.err.print(f"{'step':>8} {'epoch':>7} {'training':>9} {held_out}{'windows/s':>10} {'elapsed':>11}")

    def ending(self, doing: str, share: float = 0.0) -> None:
        if doing != self._doing:
            self._doing = doing
            console.err.print(f"{doing} …")
        self._progress.update(self._task, description=doing.split()[0], completed=share, figures="")

    def sampled(self, sample: "Sample") -> None:
        if not self._samples or self._samples[-1].step != sample.step or self._samples[-1].best != sample.best:
            self._samples = []
            which = ", the best" if sample.best else ""
            self._print(f"\nAfter step {sample.step:,}{which}, from “{sample.seed_text}”:")
        self._samples.append(sample)
        self._print(f"\n--- temperature {sample.temperature:g} ---\n{sample.text}")

    def _print(self, text: str) -> None:
        if self._quiet or self._unread:
            return
        try:
            console.out.print(text)
        except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough; the run goes on
            self._unread = True


def _layers(layers: "Sequence[LayerSize]") -> str:
    return ", ".join(f"{each.kind} of {each.units:,}: {each.weights:,}" for each in layers)
