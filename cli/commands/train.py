"""`charflow train`: from chat CSVs to a run folder."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charflow.cli import options
from charflow.cli.commands.evaluate import by_heart, scored
from charflow.cli.exit_status import INTERRUPTED, PREEMPTED, Interrupted
from charflow.cli.interrupts import saying
from charflow.cli.modes import mode
from charflow.cli.people_screen import PeopleScreen, figures_of, show_outcomes
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.cli.training_screen import TrainingScreen
from charflow.model.config import Config
from charflow.model.distributed.cluster import names_cluster
from charflow.model.run.run_folder import check_holds_run
from charflow.model.training.early import refuse_early
from charflow.pipeline.errors import UserError, counted

if TYPE_CHECKING:
    from charflow.model.run.run_dir import RunDir
    from charflow.model.training.each_user import EachUser, Outcome
    from charflow.model.training.everybody import Everybody
    from charflow.model.training.report import Result
    from charflow.model.training.train import Task
    from charflow.model.training_text import TrainingText


@mode("no_cache", ignores=("cache",))
@mode("each_user", ignores=("users", "resume"))
@mode("each_user", given=False, ignores=("min_messages",))
@options.settings(Config)
def train(
    data: options.CsvOrPrepared,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run, new or empty.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in that folder.")] = False,
    preset: options.Preset = None,
    config: Annotated[Path | None, typer.Option(metavar="TOML", help="Settings over the preset.")] = None,
    changes: options.Changes = options.NO_CHANGES,
    each_user: Annotated[bool, typer.Option("--each-user", help="Make a run for each user, all in RUN.")] = False,
    min_messages: Annotated[int, typer.Option(metavar="N", help="Leave out users with fewer messages.")] = 300,
    strategy: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="auto, one-device, mirrored, multi-worker or tpu.",
            autocompletion=options.offers("auto", "one-device", "mirrored", "multi-worker", "tpu"),
        ),
    ] = "auto",
    log_placement: Annotated[bool, typer.Option("--log-placement", help="Print which device runs which op.")] = False,
    cache: options.Cache = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Learn to write like the chat, or like one of its users.

    Settings come from the preset, then the TOML file, then the options. The run ends at the first of --epochs, --steps
    and --time-limit; giving any of them replaces the limits of the preset. Ctrl-C saves and leaves; --resume goes on.

    One user among many, with little text for the time that limits the run, is learned after everybody, who take three
    quarters of it, once for all users. --from starts from a run that is there; --from none leaves everybody out.

    With --each-user each run has a folder in RUN. The same command goes on after Ctrl-C, and with people who are new.
    """
    if resume:
        check_holds_run(out)
    elif not each_user:
        refuse_early(data, out, changes, name=preset, file=config)
    load_tensorflow(start_devices=not names_cluster(os.environ) and strategy != "tpu", log_placement=log_placement)
    from charflow.model.distributed.strategy import make_strategy
    from charflow.model.training.each_user import EachUser
    from charflow.model.training.train import Task
    from charflow.pipeline.corpus.cache import CorpusCache

    store = None if no_cache else CorpusCache(cache)
    if each_user:
        people = partial(EachUser, data, changes, out, name=preset, file=config, min_messages=min_messages)
        _train_each(people, make_strategy(strategy), store, json=json)  # type: ignore[arg-type]
        return
    task = Task(
        data,
        changes,
        out,
        preset=preset,
        file=config,
        resume=resume,
        strategy=strategy,  # type: ignore[arg-type]  # it checks the name
        cache=store,
    )
    if task.prepared and cache:
        raise UserError("--cache is of no use with a prepared corpus, which is encoded already: leave it out.")
    text = _read(task)
    if everybody := task.everybody_beside(text):
        if everybody.comes_first:
            _learn(everybody, task.strategy)
        task.settle(everybody)
        text = _read(task)
    chief = task.here.chief
    if chief and (not task.prepared or task.config.training.starts):
        _remark(data, text, task.config, resume=resume)
    with (
        TrainingScreen(text, quiet=json or not chief, chief=chief) as screen,
        saying(f"interrupted; --resume goes on from what was saved in {out}.", when=task.run_dir.config_file.exists),
    ):
        result = task.run(text, screen)
    if chief:
        _tell(task.run_dir, result, held_out_characters=text.judged_characters, json=json)
    _raise_if_stopped(result, f"saved in {out}, --resume goes on from there")


def _read(task: "Task") -> "TrainingText":
    with nullcontext() if task.prepared else waiting("reading"):
        return task.read()


def _train_each(people: Callable[..., "EachUser"], strategy: Any, store: Any, *, json: bool) -> None:
    """Makes a run for each of the people of a chat."""
    with waiting("reading"):
        each = people(cache=store)
        everybody = each.everybody
    if everybody:
        _learn(everybody, strategy)
    outcomes: list[Outcome] = []
    again = f"the same command goes on from what is in {each.out}"
    with PeopleScreen(each) as screen, saying(f"interrupted; {again}."):
        for outcome in each.train(strategy, screen):
            outcomes.append(outcome)
            screen.ended(outcome)
    if json:
        console.print_json(figures_of(each, outcomes))
    else:
        show_outcomes(outcomes)
    if outcomes[-1].signal:
        raise Interrupted(f"interrupted; {again}.", status=128 + outcomes[-1].signal)
    if failed := [outcome for outcome in outcomes if outcome.state == "failed"]:
        raise UserError(f"{len(failed)} of {counted(len(outcomes), 'run')} could not be made; {again}.")


def _learn(everybody: "Everybody", strategy: Any) -> None:
    """Makes the run on everybody, or finds it."""
    left = console.duration(everybody.time_left)
    if everybody.is_known:
        console.err.print(f"Everybody has been learned before; now {left} at most on the person.")
    else:
        first = console.duration(everybody.config.training.time_limit)
        console.err.print(
            f"First {first} on everybody, kept for whoever is next; then {left} at most on the person, who alone has "
            "little to learn from. --from none leaves everybody out."
        )
    again = "the same command goes on with everybody from what was saved"
    with (
        TrainingScreen(everybody.text, quiet=True, chief=True) as screen,
        saying(f"interrupted; {again}.", when=everybody.run_dir.config_file.exists),
    ):
        result = everybody.learn(strategy, screen)
    if result:
        _raise_if_stopped(result, again)


def _raise_if_stopped(result: "Result", what_next: str) -> None:
    if not result.ended:
        raise Interrupted(
            f"{result.reason} after step {result.step:,}; {what_next}.",
            status=PREEMPTED if result.reason == "preempted" else INTERRUPTED,
        )


def _remark(data: list[str], text: "TrainingText", config: Config, *, resume: bool) -> None:
    from charflow.pipeline.formats.inputs import is_read_once
    from charflow.pipeline.remarks import remarks

    if any(map(is_read_once, data)):
        console.err.print("The chat comes from standard input or a pipe: --resume and evaluate will need it again.")
    if not resume:
        console.remark(remarks(text.corpus, starts=config.training.starts))


def _tell(run_dir: "RunDir", result: "Result", *, held_out_characters: int, json: bool) -> None:
    if json:
        console.print_json(_figures(run_dir, result))
    elif result.ended:
        _show_result(run_dir, result, held_out_characters=held_out_characters)


def _show_result(run_dir: "RunDir", result: "Result", *, held_out_characters: int) -> None:
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
    if result.memorisation:
        rows += by_heart(asdict(result.memorisation))
    rows.append(("written to", console.Copied(run_dir.path)))
    console.pairs(console.out, rows)


def _figures(run_dir: "RunDir", result: "Result") -> dict[str, Any]:
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
        "longest_copied_run": result.memorisation.longest if result.memorisation else None,
        "memorisation": asdict(result.memorisation) if result.memorisation else None,
    }
