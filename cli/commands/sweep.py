"""`charflow sweep`: many short runs, to find the settings for a long one."""

import math
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charflow.cli import options
from charflow.cli.exit_status import INTERRUPTED, PREEMPTED, Interrupted
from charflow.cli.interrupts import Terminated
from charflow.cli.modes import mode
from charflow.cli.terminal import console
from charflow.cli.terminal.console import Copied
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.model.config import NOTHING
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import counted
from charflow.pipeline.settings import checked

if TYPE_CHECKING:
    from charflow.model.config import Config
    from charflow.model.search.sweep import Sweep
    from charflow.model.search.trials import Trial
    from charflow.model.training.report import Report

_SECONDS = 60.0  # of a trial


@checked
@mode("no_cache", ignores=("cache",))
@options.settings(CorpusSettings)
def sweep(
    data: options.Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the sweep: a new one, or one to go on with.")],
    trials: Annotated[
        int,
        typer.Option(metavar="N", help="Trials in all, those of earlier sessions included."),
        Bounds(at_least=1),
    ] = 20,
    time_limit: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Training time of a trial. [default: 60]"), Bounds(above=0)
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option("--from", metavar="RUN", help="Search settings of runs that start from the weights of this one."),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUES",
            help="A setting to search, LOW:HIGH or A,B,C, such as units=64:512 or layers=1,2; repeat for several. One "
            "value fixes the setting. [default: units, layers, dropout, learning_rate, batch_size, window_length; with "
            "--from learning_rate, warmup_steps, window_shift, batch_size, dropout]",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="P", help="Where the search starts: default, or tutorial. [default: default]"),
    ] = None,
    changes: options.Changes = options.NO_CHANGES,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of the search and of every trial.")] = None,
    cache: options.Cache = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Search for the settings that predict held-out text best, by many short runs.

    The first trial has the preset's own settings, or with --from those of any run that starts from another. Trials that
    fall behind the median are ended early. The weights of all but the best are deleted; settings and metrics stay in
    DIR/trials. After Ctrl-C, or worse, the same command goes on.
    """
    load_tensorflow()
    from charflow.model.run.base import Base
    from charflow.model.search.space import DEFAULT_SEARCH, SECOND_SEARCH, Space
    from charflow.model.search.sweep import Stopped, Sweep, locked
    from charflow.model.training.configure import configure
    from charflow.pipeline.corpus.cache import CorpusCache
    from charflow.pipeline.corpus.corpus import build_corpus
    from charflow.pipeline.remarks import remarks

    if time_limit is None and start_from in (None, "", NOTHING):  # a run that starts from another has its own limits
        time_limit = _SECONDS
    training = options.given(time_limit=time_limit, seed=seed, start_from=start_from)
    config = configure(data, {"corpus": changes, "training": training}, name=preset)
    base = Base(config.training.start_from) if config.training.starts else None
    space = Space.parse(search or (SECOND_SEARCH if base else DEFAULT_SEARCH), config, base=base)
    store, vocabulary = None if no_cache else CorpusCache(cache), base.vocabulary if base else None
    with waiting("reading"):
        corpus = build_corpus(data, config.corpus, store, vocabulary=vocabulary)
    console.remark(remarks(corpus, starts=config.training.starts))
    with locked(out):
        found = Sweep(out, config, space, corpus)
        with _SweepScreen(trials, found.trials.n_done(), config.training.time_limit) as screen:
            try:
                found.run(trials, screen)
            except (Stopped, KeyboardInterrupt, Terminated) as stop:
                preempted = stop.preempted if isinstance(stop, Stopped) else isinstance(stop, Terminated)
                raise Interrupted(
                    f"interrupted: {found.trials.n_done()} of {trials} trials are kept in {out}; "
                    "the same command goes on from there.",
                    status=PREEMPTED if preempted else INTERRUPTED,
                ) from None
        found.check_any_finished()
        if json:
            console.print_json(_figures(found, config))
        else:
            _show(found, data, starts=config.training.starts)


class _SweepScreen:
    """Shows a sweep: a progress bar for the trial (on a terminal), and a line for each that ended."""

    def __init__(self, wanted: int, done: int, time_limit: float) -> None:
        self._wanted, self._done, self._time_limit = wanted, done, time_limit
        self._progress = console.err.progress()
        self._task = self._progress.add_task("", total=1.0, figures="")

    def __enter__(self) -> "_SweepScreen":
        if left := self._wanted - self._done:
            there = "trial is" if self._done == 1 else "trials are"
            kept = f"{self._done} {there} there; " if self._done else ""
            most = console.duration(max(0, left) * self._time_limit)
            console.err.print(f"{kept}{max(0, left)} to go, {most} of training at most.")
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, number: int, values: dict[str, Any]) -> None:
        self._progress.update(self._task, description=f"trial {number}", completed=0.0, figures="compiling …")

    def advanced(self, report: "Report") -> None:
        self._progress.update(
            self._task,
            completed=report.progress,
            figures=f"{report.train_bits:.3f} bits/char  {report.windows_per_second:,.0f} windows/s",
        )

    def ended(self, trial: "Trial", best: "Trial | None") -> None:
        self._done += 1
        settings = ", ".join(f"{name} {_text(value)}" for name, value in trial.values.items())
        bits = f"{_bits(trial)} bits/char" if _bits(trial) else "no figure"
        rank = ", the best so far" if trial == best else ""
        why = f" ({trial.why})" if trial.why else ""
        console.err.print(
            f"trial {trial.number} ({self._done} of {self._wanted}): {bits}{rank}, {trial.state}{why}; {settings}"
        )


def _show(found: "Sweep", data: list[str], *, starts: bool) -> None:
    all_trials, best = found.trials.all(), found.trials.best()
    # Those that ended early have not had their time: they come after all that have, whatever their figure.
    order = sorted(all_trials, key=lambda trial: (trial.bits or math.inf, trial.part_bits or math.inf))
    names = list(all_trials[0].values)
    console.columns(
        console.out,
        ["trial", "state", "held out", *(name.replace("_", " ") for name in names), "steps"],
        [
            (
                f"{trial.number} {'*' if trial == best else ''}{'+' if trial.is_preset else ''}",
                trial.state,
                _bits(trial),
                *(_text(trial.values[name]) if name in trial.values else "" for name in names),
                f"{trial.steps:,}",
            )
            for trial in order
        ],
        right=2 + len(names),
    )
    console.out.print()
    own = "the settings of any run that starts from another" if starts else "the preset's own settings"
    rows: list[tuple[str, str]] = [("+", own), ("picture", Copied(found.picture_file))]
    if failed := [trial for trial in all_trials if trial.state == "failed"]:
        rows.append(("failed", f"{len(failed)} of {counted(len(all_trials), 'trial')}: {failed[0].why}"))
    if best:
        command = ["charflow", "train", *data, "--config", str(found.best_file), "--out", "RUN"]
        longer = "" if starts else " --time-limit SECONDS"
        rows += [
            ("* best", f"trial {best.number}; its run is {found.run_folder(best.number)}"),
            ("settings", Copied(found.best_file)),
            ("weights", "of all other trials deleted; their settings and metrics are kept"),
            ("next", Copied(shlex.join(command) + longer)),
        ]
    console.pairs(console.out, rows)


def _bits(trial: "Trial") -> str:
    """Writes the figure of a trial, in brackets where it is of a part of the held-out text."""
    if trial.bits is not None:
        return f"{trial.bits:.3f}"
    return f"({trial.part_bits:.3f})" if trial.part_bits is not None else ""


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _figures(found: "Sweep", config: "Config") -> dict[str, Any]:
    best = found.trials.best()
    return {
        "sweep": str(found.folder),
        "time_limit": config.training.time_limit,
        "from": config.training.start_from if config.training.starts else None,
        "trials": [asdict(trial) for trial in found.trials.all()],
        "best": best.number if best else None,
        "run": str(found.run_folder(best.number)) if best else None,
        "config": str(found.best_file) if best else None,
        "picture": str(found.picture_file),
    }
