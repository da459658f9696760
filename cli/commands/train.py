"""`charflow train`: from chat CSVs to a run folder."""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charflow.cli import noticed, options
from charflow.cli.commands.evaluate import scored
from charflow.cli.exit_status import INTERRUPTED, PREEMPTED, Interrupted
from charflow.cli.interrupts import saying
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.model.distributed.cluster import names_cluster
from charflow.pipeline.errors import counted

if TYPE_CHECKING:
    import tensorflow as tf

    from charflow.model.config import Config, TrainingConfig
    from charflow.model.distributed.strategy import Placement
    from charflow.model.evaluation.copy_check import CopiedRun
    from charflow.model.run.run_dir import RunDir
    from charflow.model.training.plan import Plan
    from charflow.model.training.report import Report, Result
    from charflow.model.training.samples import Sample
    from charflow.model.training_text import TrainingText
    from charflow.pipeline.corpus.corpus import Corpus
    from charflow.pipeline.prepared.corpus import PreparedCorpus

_MOST_COMPARED = 1 << 25  # characters of the training text in which copied runs are looked for
_COMPARED_AT_ONCE = 1 << 20
_SURE_AFTER = 1.0  # seconds of training after which its pace says how long it will take
_WORTH_TELLING = 5.0  # seconds left; who has fewer to wait sees the end before a forecast is of use


def train(
    data: options.CsvOrPrepared,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run, new or empty.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in that folder.")] = False,
    preset: options.Preset = None,
    config: Annotated[Path | None, typer.Option(metavar="TOML", help="Settings over the preset.")] = None,
    user: options.Users = None,
    drop_user: options.DropUsers = None,
    fraction: options.Fraction = None,
    min_length: options.MinLength = None,
    min_count: options.MinCount = None,
    held_out: options.HeldOut = None,
    keep_case: options.KeepCase = None,
    unicode_form: options.UnicodeForm = None,
    case_fold: options.CaseFold = None,
    keep_invisible: options.KeepInvisible = None,
    user_column: options.UserColumn = None,
    text_column: options.TextColumn = None,
    delimiter: options.Delimiter = None,
    no_header: options.NoHeader = None,
    encoding: options.Encoding = None,
    escape: options.Escape = None,
    skip_initial_space: options.SkipInitialSpace = None,
    skip_bad_rows: options.SkipBadRows = None,
    cell: options.Cell = None,
    units: options.Units = None,
    layers: options.Layers = None,
    dropout: Annotated[float | None, typer.Option(metavar="F", help="Share of outputs dropped in training.")] = None,
    window_length: options.WindowLength = None,
    window_shift: Annotated[int | None, typer.Option(metavar="N", help="Distance between windows.")] = None,
    targets: options.Targets = None,
    batch_size: options.BatchSize = None,
    optimizer: Annotated[str | None, typer.Option(metavar="NAME", help="adam, nadam, rmsprop or sgd.")] = None,
    learning_rate: Annotated[float | None, typer.Option(metavar="F", help="Peak learning rate.")] = None,
    beta_2: Annotated[float | None, typer.Option(metavar="F", help="Decay of adam's squared gradients.")] = None,
    schedule: Annotated[str | None, typer.Option(metavar="NAME", help="cosine or constant.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(metavar="N", help="Steps to the peak rate.")] = None,
    clip_norm: Annotated[float | None, typer.Option(metavar="F", help="Largest gradient norm; 0 is off.")] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="End after N passes over the windows.")] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="End after N batches.")] = None,
    time_limit: Annotated[float | None, typer.Option(metavar="SECONDS", help="End after this time.")] = None,
    evaluations: Annotated[int | None, typer.Option(metavar="N", help="Held-out evaluations in the run.")] = None,
    patience: Annotated[int | None, typer.Option(metavar="N", help="End after N evaluations without gain.")] = None,
    best_by: Annotated[str | None, typer.Option(metavar="held-out|training", help="What the best is.")] = None,
    sample_every: Annotated[int | None, typer.Option(metavar="N", help="Print samples every N epochs.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of weights, shuffling, dropout, samples.")] = None,
    checkpoint_every: Annotated[
        str | None, typer.Option(metavar="N|Nm", help="Save every N steps, or N minutes (2.5m). [default: 5m]")
    ] = None,
    checkpoints: Annotated[int | None, typer.Option(metavar="N", help="Latest ones to keep, beside the best.")] = None,
    precision: options.Precision = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic", help="The same bits each time.", show_default=False)
    ] = None,
    strategy: Annotated[
        str, typer.Option(metavar="NAME", help="auto, one-device, mirrored, multi-worker or tpu.")
    ] = "auto",
    shard_corpus: Annotated[
        bool | None,
        typer.Option(
            "--shard-corpus", help="Each worker holds its part of a prepared corpus only.", show_default=False
        ),
    ] = None,
    streaming: Annotated[
        bool | None,
        typer.Option("--streaming", help="Read a prepared corpus from disk while training.", show_default=False),
    ] = None,
    log_placement: Annotated[bool, typer.Option("--log-placement", help="Print which device runs which op.")] = False,
    cache: options.Cache = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Learn to write like the chat, or like one of its users.

    Settings come from the preset, then the TOML file, then the options. The run ends at the first of --epochs, --steps
    and --time-limit; giving any of them replaces the limits of the preset. Ctrl-C saves and leaves; --resume goes on.
    """
    load_tensorflow(start_devices=not names_cluster(os.environ) and strategy != "tpu", log_placement=log_placement)
    changes = options.given(
        corpus=options.given(
            users=user,
            drop_users=drop_user,
            fraction=fraction,
            min_length=min_length,
            min_count=min_count,
            held_out=held_out,
            text=options.text_changes(keep_case, unicode_form, case_fold, keep_invisible),
            csv=options.csv_changes(
                user_column, text_column, delimiter, no_header, encoding, escape, skip_initial_space, skip_bad_rows
            ),
        ),
        network=options.given(cell=cell, units=units, layers=layers, dropout=dropout),
        training=options.given(
            window_length=window_length,
            window_shift=window_shift,
            targets=targets,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            beta_2=beta_2,
            schedule=schedule,
            warmup_steps=warmup_steps,
            clip_norm=clip_norm,
            epochs=epochs,
            steps=steps,
            time_limit=time_limit,
            evaluations=evaluations,
            patience=patience,
            best_by=best_by,
            sample_every=sample_every,
            seed=seed,
            checkpoints=checkpoints,
            precision=precision,
            shard_corpus=shard_corpus or None,
            streaming=streaming or None,
            deterministic=deterministic or None,
            **_cadence(checkpoint_every),
        ),
    )

    from charflow.model.distributed.strategy import make_strategy, placement
    from charflow.model.run.run_dir import RunDir
    from charflow.model.training_text import TextInMemory
    from charflow.pipeline.corpus.cache import CorpusCache
    from charflow.pipeline.corpus.corpus import build_corpus
    from charflow.pipeline.errors import SettingError, UserError
    from charflow.pipeline.files import is_prepared
    from charflow.pipeline.formats.inputs import is_stream
    from charflow.pipeline.prepared.corpus import PreparedCorpus
    from charflow.pipeline.remarks import remarks

    run_dir = RunDir(out)
    if not resume:
        run_dir.check_free()  # before workers meet: the chief makes the folder only when all have passed here
    scope = make_strategy(strategy)  # type: ignore[arg-type]  # it checks the name
    here = placement(scope)
    chief = here.chief
    corpus: Corpus | PreparedCorpus
    if len(data) == 1 and is_prepared(data[0]):
        corpus = PreparedCorpus.open(data[0])
        if "corpus" in changes:
            raise SettingError(
                "{folder} was prepared with its own choice of messages: leave {given} out, or give the CSV files.",
                folder=data[0],
                given=options.names(changes["corpus"]),
            )
        if not resume:  # a resumed run has them, and is compared with the corpus itself
            changes["corpus"] = asdict(corpus.settings)
        wanted = _config(run_dir, data, preset, config, changes, resume=resume)
        workers = run_dir.read_placement().get("workers", here.workers) if resume else here.workers
        if wanted.training.shard_corpus and workers != here.workers:
            raise UserError(f"The corpus of {run_dir.path} was shared by {workers} workers: resume with as many.")
        text = _prepared_text(corpus, wanted.training, here)
    else:
        wanted = _config(run_dir, data, preset, config, changes, resume=resume)
        if needy := tuple(name for name in ("shard_corpus", "streaming") if getattr(wanted.training, name)):
            raise SettingError("{needy} needs a corpus that charflow prepare has written.", needy=needy)
        if any(is_stream(path) for path in data):
            check_stream(here.workers)
        with waiting("reading"):
            corpus = build_corpus(data, wanted.corpus, None if no_cache else CorpusCache(cache))
        if chief and not resume:
            console.remark(remarks(corpus))
        text = TextInMemory(corpus)
    with run_dir.locked() if chief else nullcontext():
        result, copied = _train(wanted, corpus, text, run_dir, scope, resume=resume, quiet=json or not chief)
    if json and chief:
        console.print_json(_figures(run_dir, result, copied))
    if result.reason in ("interrupted", "preempted"):
        raise Interrupted(
            f"{result.reason} after step {result.step:,}; saved in {run_dir.path}, --resume goes on from there.",
            status=PREEMPTED if result.reason == "preempted" else INTERRUPTED,
        )


def _prepared_text(prepared: "PreparedCorpus", training: "TrainingConfig", here: "Placement") -> "TrainingText":
    from charflow.model.training_text import TextInMemory, TextOnDisk

    if training.streaming:
        return TextOnDisk(prepared)
    if training.shard_corpus and here.workers > 1:
        length, shift = training.window_length, training.window_shift
        part = prepared.load_part(here.worker, here.workers, length=length, shift=shift)
        return TextInMemory(part, parts=here.workers)
    return TextInMemory(prepared.load())


def check_stream(workers: int) -> None:
    """Says what a chat that can be read only once is no good for.

    Raises:
        UserError: several workers would read it.
    """
    from charflow.pipeline.errors import UserError

    if workers > 1:
        raise UserError("Workers cannot share standard input or a pipe: write the chat to a file that all can read.")
    console.err.print("The chat comes from standard input or a pipe: --resume and evaluate will need it again.")


def _cadence(every: str | None) -> dict[str, Any]:
    """Reads --checkpoint-every: 500 is steps, 5m is minutes."""
    from charflow.pipeline.errors import UserError

    if every is None:
        return {}
    try:
        if every.endswith("m"):
            return {"checkpoint_seconds": 60.0 * float(every[:-1]), "checkpoint_steps": 0}
        return {"checkpoint_steps": int(every), "checkpoint_seconds": 0.0}
    except ValueError:
        raise UserError(f"--checkpoint-every must be steps (500) or minutes (5m), not {every!r}.") from None


def _config(
    run_dir: "RunDir",
    data: list[str],
    preset_name: str | None,
    config_file: Path | None,
    changes: Mapping[str, Any],
    *,
    resume: bool,
) -> "Config":
    from charflow.model.config import load_toml, override
    from charflow.model.presets import continued, preset, with_limits
    from charflow.pipeline.errors import SettingError
    from charflow.pipeline.formats.inputs import lasting_name

    if resume:
        if given := options.given(preset=preset_name, config=config_file):
            raise SettingError("A resumed run keeps its settings: leave {given} out.", given=tuple(given))
        return continued(run_dir.load()[0], changes)
    config = preset(preset_name or "default")
    if config_file:
        config = override(config, with_limits(load_toml(config_file)), source=str(config_file))
    return override(config, {**with_limits(changes), "data": [lasting_name(path) for path in data]})


def _train(
    config: "Config",
    corpus: "Corpus | PreparedCorpus",
    text: "TrainingText",
    run_dir: "RunDir",
    strategy: "tf.distribute.Strategy",
    *,
    resume: bool,
    quiet: bool,
) -> "tuple[Result, CopiedRun | None]":
    from charflow.model.distributed.strategy import placement
    from charflow.model.training.trainer import Trainer

    here = placement(strategy)
    chief = here.chief
    if resume:
        run_dir.check_same_corpus(corpus)
    elif chief:
        run_dir.check_free()
    with _Screen(text, quiet=quiet, chief=chief) as screen:
        trainer = Trainer(config, text, run_dir, strategy, screen)
        if resume:
            for name in trainer.resume():
                console.say(f"warning: the checkpoint {name} is damaged; the one before it is taken.")
        if chief:
            if resume:
                run_dir.write_config(config)
            else:
                run_dir.create(config, corpus)
            run_dir.write_placement(asdict(here))
        with saying(f"interrupted; --resume goes on from what was saved in {run_dir.path}."):
            result = trainer.train()
        copied = None
        if chief and result.reason in ("finished", "stopped early"):
            screen.ending("looking for copied text")
            copied = _longest_copy(text, screen.best_texts)
    if chief and not quiet and result.reason in ("finished", "stopped early"):
        _show_result(run_dir, result, copied, held_out_characters=text.held_out_characters)
    return result, copied


def _longest_copy(text: "TrainingText", samples: list[str]) -> "CopiedRun | None":
    """The longest run of a sample that stands in the training text, which is looked through piece by piece."""
    from charflow.model.evaluation.copy_check import longest_copied_run

    runs = []
    overlap = max(map(len, samples), default=0)  # a run that lies across two pieces is whole in the first
    for start in range(0, min(text.train_characters, _MOST_COMPARED), _COMPARED_AT_ONCE):
        piece = text.vocabulary.decode(text.piece(start, _COMPARED_AT_ONCE + overlap))
        runs += [longest_copied_run(sample, piece) for sample in samples]
    return max(runs, key=lambda run: run.length, default=None)


class _Screen:
    """Shows a run: the plan, a progress bar (on a terminal), evaluations and samples."""

    def __init__(self, text: "TrainingText", *, quiet: bool, chief: bool) -> None:
        self._text, self._quiet, self._chief = text, quiet, chief
        self._told_time = self._told_columns = self._unread = False
        self._resumed = self._doing = ""
        self._compiled_at = float("inf")  # seconds of training at which the first step was done
        self._samples: list[Sample] = []
        self._progress = console.err.progress(shown=chief)
        self._task = self._progress.add_task("training", total=1.0, figures="compiling …")

    def __enter__(self) -> "_Screen":
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def resumed(self, step: int, elapsed: float) -> None:
        self._resumed = (
            f"step {step:,}, {console.duration(elapsed)} of training" if step else "nothing: no step was saved"
        )

    def planned(self, plan: "Plan") -> None:
        if not self._chief:
            return
        here = plan.placement
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in self._text.dropped.items())
        noticed.warn(self._text.noticed)
        console.pairs(
            console.err,
            [
                (
                    "messages",
                    f"{plan.messages:,} of {counted(self._text.rows, 'row')}" + (f" ({dropped})" if dropped else ""),
                ),
                *noticed.longest(self._text.noticed),
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
                ("weights", f"{plan.weights:,}"),
                (
                    "memory",
                    f"{console.size(plan.host_bytes)} on the host, {console.size(plan.device_bytes)} on the device",
                ),
                (
                    "computes on",
                    f"{', '.join(here.devices)} under {here.strategy}"
                    + (f", {here.replicas} replicas" if here.replicas > 1 else "")
                    + (f" of {here.workers} workers" if here.workers > 1 else ""),
                ),
                *([("goes on after", self._resumed)] if self._resumed else []),
                ("ends after", plan.limit),
            ],
        )
        self._progress.start()

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
        held_out = row["held_out_part_bits"]
        if not self._told_columns:
            self._told_columns = True
            self._name_columns(judged=held_out is not None)
        console.err.print(
            f"{row['step']:>8,} {row['epoch']:>7.2f} {row['train_bits']:>9.3f} "
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

    @property
    def best_texts(self) -> list[str]:
        """What the run's best weights wrote at its end."""
        return [sample.text for sample in self._samples if sample.best]

    def _print(self, text: str) -> None:
        if self._quiet or self._unread:
            return
        try:
            console.out.print(text)
        except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough; the run goes on
            self._unread = True


def _show_result(run_dir: "RunDir", result: "Result", copied: "CopiedRun | None", *, held_out_characters: int) -> None:
    console.out.print()
    rows = [
        ("ended", f"{result.reason}, {counted(result.step, 'step')} in {console.duration(result.elapsed)}"),
        ("weights", f"of step {result.best_step:,}, the best: samples, export and generate take them"),
    ]
    if result.held_out:
        rows.append(
            (
                "held out",
                f"{result.held_out.bits_per_char:.4f} bits per character, "
                + scored(result.held_out, held_out_characters),
            )
        )
    if not result.beats_guessing:
        rows.append(
            (
                "warning",
                f"no better than guessing, which takes {result.guess_bits:.4f} bits per character: train longer, with "
                "a lower --learning-rate, or on more text",
            )
        )
    if copied:
        rows.append(
            ("copied", f"at most {counted(copied.length, 'character')} in a row of the samples: {copied.text!r}")
        )
    rows.append(("written to", console.Copied(run_dir.path)))
    console.pairs(console.out, rows)


def _figures(run_dir: "RunDir", result: "Result", copied: "CopiedRun | None") -> dict[str, Any]:
    held_out = result.held_out
    return {
        "run": str(run_dir.path),
        "reason": result.reason,
        "steps": result.step,
        "seconds": result.elapsed,
        "windows_per_second": result.windows_per_second,
        "best_step": result.best_step,
        "train_bits_per_char": result.train_bits,
        "guess_bits_per_char": result.guess_bits,
        "bits_per_char": held_out.bits_per_char if held_out else None,
        "accuracy": held_out.accuracy if held_out else None,
        "held_out_characters": held_out.characters if held_out else 0,
        "longest_copied_run": copied.length if copied else None,
    }
