"""`charflow evaluate`: how good a run is, beside models that cost nothing."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charflow.cli import options
from charflow.cli.modes import mode
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.pipeline.errors import SettingError, counted, quoted_list
from charflow.pipeline.formats.csv_format import CsvFormat

if TYPE_CHECKING:
    from charflow.model.evaluation.evaluation import Evaluation
    from charflow.model.evaluation.run_evaluation import Judgement

_BASE = "the run that it started from"


@mode("no_cache", ignores=("cache",))
@options.settings(CsvFormat)
def evaluate(
    run: options.RunFolder,
    data: Annotated[
        list[str] | None, typer.Argument(metavar="DATA", help="Other CSV files. [default: the run's own]")
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", metavar="ID", help="Keep this user; repeat for several. [default: those of the run]"),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="Score this run on the same text, too; repeat for several."),
    ] = None,
    changes: options.Changes = options.NO_CHANGES,
    context: options.Context = "stream",
    cache: options.Cache = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Measure held-out bits per character and accuracy, beside n-gram and gzip baselines.

    On the run's own data it scores the held-out tail, as the end of training does. On other data it scores every
    message, of the users the run was trained on unless --user says otherwise; the baselines learn from the run's
    training text in both cases. The run that it started from is scored beside it, and those of --beside.
    """
    if (given := options.given(users=user or None, **changes)) and not data:
        raise _read_as_it_was(tuple(given))
    load_tensorflow()
    from charflow.model.decoding.generator import load_decoder
    from charflow.model.evaluation.memorisation import report_of
    from charflow.model.evaluation.run_evaluation import check_comparable, held_out_text, judge, other_text
    from charflow.model.run.base import base_of
    from charflow.model.run.run_dir import RunDir
    from charflow.pipeline.corpus.cache import CorpusCache

    run_dir = RunDir(run)
    config, vocabulary = run_dir.load()
    store = None if no_cache else CorpusCache(cache)
    compared = {folder: RunDir(folder) for folder in beside or ()}
    if learned := [folder for folder, other in compared.items() if not check_comparable(run_dir, other) and not data]:
        console.err.print(f"May have learned these messages, which it did not leave out: {', '.join(learned)}.")
    if base := base_of(run_dir):
        compared[_BASE] = base.run_dir
    load = partial(load_decoder, context=context)  # type: ignore[arg-type]  # it checks the name
    own, others = load(run_dir), {name: (load(other), other.load()[1]) for name, other in compared.items()}
    with waiting("reading"):
        if data:
            text = other_text(run_dir, data, users=user or (), csv=changes, store=store)
        else:
            text = held_out_text(run_dir, store)
    if text.absent:
        console.err.print(f"Not in this chat, of those whom the run left out: {quoted_list(text.absent)}.")
    with waiting("measuring"):
        remembered = config.training.memory_order if run_dir.memory_file.exists() else 0
        judged = judge(own, vocabulary, text, others=others, least_order=remembered)
    known = report_of(run_dir)
    if json:
        console.print_json({"run": str(run), "context": context, **_figures(judged), "memorisation": known})
        return
    _show(f"charflow ({context})", judged, text.available)
    if known:
        console.out.print()
        console.pairs(console.out, by_heart(known))


def _read_as_it_was(given: tuple[str, ...]) -> SettingError:
    return SettingError(
        "The run's own data is read as it was when it was trained: leave {given} out, or name the CSV files to score.",
        given=given,
    )


def _figures(judged: "Judgement") -> dict[str, Any]:
    figures, others = asdict(judged.found), {name: found.bits_per_char for name, found in judged.others.items()}
    if judged.without_question:
        figures["bits_per_char_without_question"] = judged.without_question.bits_per_char
    if _BASE in others:
        figures["base_bits_per_char"] = others.pop(_BASE)
    return {**figures, "beside": others, "baselines": judged.baselines}


def _show(model: str, judged: "Judgement", available: int) -> None:
    found, beside = judged.found, judged.baselines
    rows = [(model, found.bits_per_char), *beside.items()]
    rows += [(name, other.bits_per_char) for name, other in judged.others.items()]
    if judged.without_question:
        rows.append((f"{model}, the questions not read", judged.without_question.bits_per_char))
    console.columns(
        console.out,
        ["model", "bits per character"],
        [(name, f"{bits:.3f}") for name, bits in sorted(rows, key=lambda row: row[1])],
        right=1,
    )
    console.out.print(f"\n{scored(found, available)}")
    if not beside:
        console.out.print("Without the run's training text, or with one too long to count, there are no baselines.")
    best = min(beside.values(), default=None)
    if best is not None and best <= found.bits_per_char:
        console.out.print("A table of counts predicts this text better than the model: train longer, or on more text.")


def by_heart(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Writes what a model knows by heart, as rows."""
    from charflow.model.evaluation.memorisation import copied_from

    shares = " and ".join(f"{share:.2%} at temperature {name}" for name, share in report["copied"].items())
    rows = [("copied", f"{shares} of what it writes, in runs of {report['run_length']} characters and more")]
    if report["longest"]:
        rows.append(("longest copy", f"{counted(report['longest'], 'character')}, in {copied_from(report)}"))
    if planted := report["canaries"]:
        rows.append(
            (
                "planted",
                f"{planted['known']} of {counted(planted['canaries'], 'number')} known, each "
                f"{counted(planted['repeats'], 'time')} in the training text",
            )
        )
        bits = " ".join(f"{each:.1f}" for each in planted["bits"])
        rows.append(("exposure", f"{bits} bits; from {planted['limit']:.1f} on a number is known, and not by chance"))
    return rows


def scored(found: "Evaluation", available: int) -> str:
    """Writes how often an evaluation was right, and on how much of the text that there is."""
    unknown = f", {found.unknown_characters:,} unknown ones left out" if found.unknown_characters else ""
    read = found.characters + found.unknown_characters
    part = f", the first {read:,} of {available:,}" if read < available else ""
    return f"accuracy {found.accuracy:.1%} on {counted(found.characters, 'character')}{unknown}{part}"
