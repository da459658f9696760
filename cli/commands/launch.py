"""`charflow launch`: a cluster of workers on this machine that train together, as torchrun is for PyTorch."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from charflow.cli.command_line import Command
from charflow.cli.exit_status import INTERRUPTED, PEER_LOST, USER_MISTAKE, Interrupted
from charflow.cli.terminal.worker_output import WorkerOutput
from charflow.model.distributed.cluster import (
    JOIN_SECONDS,
    LONGEST_WAIT,
    visible_gpus,
    worker_environments,
)
from charflow.model.distributed.stop_signals import StopSignals
from charflow.model.distributed.worker_group import GRACE, Ending, run_workers
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.cores import usable_cores
from charflow.pipeline.errors import UserError, counted
from charflow.pipeline.files import SETTINGS
from charflow.pipeline.settings import checked

# What comes from the first word on is train's, with or without -- before it.
LAUNCH_SETTINGS = {"allow_extra_args": True, "allow_interspersed_args": False}
_CHARFLOW = [sys.executable, "-m", "charflow"]
_COMMANDS = ("train",)
_REFUSED_BY_RESUME = ("--preset", "--config")


class LaunchCommand(Command):
    """The command, of which the shell completes the options of what it launches, too."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        name, *words = ctx.args or [""]
        command = ctx.find_root().command.commands.get(name) if name in _COMMANDS else None
        if command is None:
            return super().shell_complete(ctx, incomplete)
        within = command.make_context(name, words, parent=ctx.find_root(), resilient_parsing=True)
        return list(command.shell_complete(within, incomplete))


@checked
def launch(
    context: typer.Context,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", help="How many processes train together."), Bounds(at_least=1)
    ],
    max_restarts: Annotated[
        int, typer.Option(metavar="K", help="Start again after a failure, at most K times."), Bounds(at_least=0)
    ] = 0,
    grace: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Time to end in once one worker has failed."),
        Bounds(at_least=0, at_most=LONGEST_WAIT),
    ] = GRACE,
    start_timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="How long workers wait for peers."),
        Bounds(above=0, at_most=LONGEST_WAIT),
    ] = JOIN_SECONDS,
) -> None:
    """Train on several processes of this machine: charflow launch --workers 2 -- train chat.csv --out run.

    Worker 0 is the chief: it draws the progress bar and prints the figures. When a worker fails the others end too, and
    all start again from the latest checkpoint, at most --max-restarts times; a mistake in the command is not tried
    again. Ctrl-C saves and leaves; a second one kills.
    """
    arguments = _Arguments(context)
    output = WorkerOutput(figures=arguments.json)
    gpus = visible_gpus(os.environ)
    if 0 < len(gpus) < workers:
        output.say(f"{workers} workers cannot share {counted(len(gpus), 'GPU')}: they train on the CPU.")
    restarts = 0
    with StopSignals() as signals:
        while True:
            ending = run_workers(
                [*_CHARFLOW, *arguments.given],
                worker_environments(
                    workers, join_timeout=start_timeout, environ=os.environ, cores=usable_cores(), gpus=gpus
                ),
                grace=grace,
                listener=output,
                signals=signals,
                peer_lost=PEER_LOST,
                terminal_size=output.terminal_size,
            )
            if _worth_another_try(ending) and ending.worker is not None and not signals.asked:
                output.say_why(ending.worker)
            if restarts == max_restarts or signals.asked or not _worth_another_try(ending):
                break
            restarts += 1
            output.forget_figures()
            arguments.resume()
            output.say(
                f"{_what_happened(ending)}: starting {counted(workers, 'worker')} again {arguments.begins}, "
                f"restart {restarts} of {max_restarts}."
            )
    output.print_figures()
    if _worth_another_try(ending) and not signals.asked:
        output.say(f"{_what_happened(ending)} after {counted(restarts, 'restart')}; {arguments.advice()}.")
    if ending.status == INTERRUPTED and not signals.insisted:
        raise Interrupted("")  # the workers have said what is saved
    raise typer.Exit(ending.status)


class _Arguments:
    """The command line of the workers, checked once here rather than by each of them.

    Attributes:
        given: its words.
        out: folder of the run.
        json: the figures are asked for.
    """

    def __init__(self, context: typer.Context) -> None:
        if not context.args:
            raise UserError("There is no command to launch: write charflow launch --workers 2 -- train DATA --out RUN.")
        name, *options = context.args
        if name not in _COMMANDS:
            raise UserError(f"launch cannot run {name!r}: it runs {', '.join(_COMMANDS)}.")
        group = context.find_root().command
        parsed = group.commands[name].make_context(name, list(options), parent=context.find_root()).params  # type: ignore[attr-defined]
        if parsed["strategy"] not in ("auto", "multi-worker"):
            raise UserError(f"launch trains under --strategy multi-worker, not {parsed['strategy']}: leave it out.")
        self.given = [name, *options]
        self.out: Path = parsed["out"]
        self.json: bool = parsed["json"]
        self._resumes: bool = parsed["resume"]

    @property
    def begins(self) -> str:
        """Where the next start begins, in words."""
        return f"from the latest checkpoint in {self.out}" if self._resumes else "from the beginning"

    def resume(self) -> None:
        """Lets the next start continue the run, if there is one yet."""
        if not self._resumes and (self.out / SETTINGS).exists():
            name, *options = self.given
            self.given = [name, "--resume", *_without(_REFUSED_BY_RESUME, options)]
            self._resumes = True

    def advice(self) -> str:
        """What to do once the restarts are used up."""
        self.resume()
        if self._resumes:
            return f"--resume goes on {self.begins}, and --max-restarts tries so by itself"
        return f"{self.out} holds no run yet, so the same command begins again"


def _without(names: tuple[str, ...], options: list[str]) -> list[str]:
    """Drops options and their values, in both spellings: --name VALUE and --name=VALUE."""
    kept: list[str] = []
    words = iter(options)
    for word in words:
        if word == "--":
            return [*kept, word, *words]
        if word in names:
            next(words, None)
        elif word.partition("=")[0] not in names:
            kept.append(word)
    return kept


def _worth_another_try(ending: Ending) -> bool:
    return ending.status not in (0, USER_MISTAKE, INTERRUPTED) and not ending.chief_done


def _what_happened(ending: Ending) -> str:
    if ending.killed_by:
        return f"worker {ending.worker} was killed by {ending.killed_by}"
    if ending.status == 128 + signal.SIGTERM:
        return f"worker {ending.worker} was stopped by SIGTERM"
    return f"worker {ending.worker} ended with status {ending.status}"
