"""`charflow train`: from chat CSVs to a run folder."""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charflow.cli import options
from charflow.cli.commands.evaluate import scored
from charflow.cli.exit_status import INTERRUPTED, PREEMPTED, Interrupted
from charflow.cli.interrupts import saying
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.cli.training_screen import TrainingScreen
from charflow.model.distributed.cluster import names_cluster
from charflow.pipeline.errors import counted

if TYPE_CHECKING:
    from charflow.model.config import Config
    from charflow.model.evaluation.copy_check import CopiedRun
    from charflow.model.run.run_dir import RunDir
    from charflow.model.training.report import Result
    from charflow.model.training_text import TrainingText
    from charflow.pipeline.prepared.corpus import PreparedCorpus


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
    from charflow.model.evaluation.copy_check import longest_copy
    from charflow.model.run.run_dir import RunDir
    from charflow.model.training.start import start_run
    from charflow.model.training_text import read_text
    from charflow.pipeline.corpus.cache import CorpusCache
    from charflow.pipeline.prepared.corpus import PreparedCorpus

    run_dir = RunDir(out)
    if not resume:
        run_dir.check_free()  # before workers meet: the chief makes the folder only when all have passed here
    scope = make_strategy(strategy)  # type: ignore[arg-type]  # it checks the name
    here, prepared = placement(scope), PreparedCorpus.among(data)
    wanted = _config(run_dir, data, prepared, preset, config, changes, resume=resume)
    with nullcontext() if prepared else waiting("reading"):
        store = None if no_cache else CorpusCache(cache)
        text = read_text(prepared or data, wanted, worker=here.worker, workers=here.workers, cache=store)
    if here.chief and not prepared:
        _remark(data, text, resume=resume)
    with TrainingScreen(text, quiet=json or not here.chief, chief=here.chief) as screen:
        with saying(f"interrupted; --resume goes on from what was saved in {out}.", when=run_dir.config_file.exists):
            result = start_run(wanted, text, run_dir, scope, screen, resume=resume)
        copied = None
        if here.chief and result.ended:
            screen.ending("looking for copied text")
            copied = longest_copy(text, screen.best_texts)
    if here.chief and json:
        console.print_json(_figures(run_dir, result, copied))
    elif here.chief and result.ended:
        _show_result(run_dir, result, copied, held_out_characters=text.held_out_characters)
    if not result.ended:
        raise Interrupted(
            f"{result.reason} after step {result.step:,}; saved in {out}, --resume goes on from there.",
            status=PREEMPTED if result.reason == "preempted" else INTERRUPTED,
        )


def _remark(data: list[str], text: "TrainingText", *, resume: bool) -> None:
    from charflow.pipeline.formats.inputs import is_stream
    from charflow.pipeline.remarks import remarks

    if any(map(is_stream, data)):
        console.err.print("The chat comes from standard input or a pipe: --resume and evaluate will need it again.")
    if not resume:
        console.remark(remarks(text.corpus))


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
    prepared: "PreparedCorpus | None",
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

    if prepared and "corpus" in changes:
        raise SettingError(
            "{folder} was prepared with its own choice of messages: leave {given} out, or give the CSV files.",
            folder=data[0],
            given=options.names(changes["corpus"]),
        )
    if resume:
        if given := options.given(preset=preset_name, config=config_file):
            raise SettingError("A resumed run keeps its settings: leave {given} out.", given=tuple(given))
        return continued(run_dir.load()[0], changes)
    config = preset(preset_name or "default")
    if config_file:
        config = override(config, with_limits(load_toml(config_file)), source=str(config_file))
    corpus = {"corpus": asdict(prepared.settings)} if prepared else {}
    return override(config, {**with_limits(changes), **corpus, "data": [lasting_name(path) for path in data]})


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
