"""`charflow bench`: how fast this machine trains and writes, and of what it could do."""

import json as json_format
import os
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from charflow.cli import options
from charflow.cli.command_line import Command
from charflow.cli.interrupts import Terminated
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.model.config import Config
from charflow.model.distributed.cluster import (
    CHIEF,
    JOIN_SECONDS,
    names_cluster,
    visible_gpus,
    worker_environments,
)
from charflow.model.distributed.stop_signals import StopSignals
from charflow.model.distributed.worker_group import GRACE, run_workers
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.cores import usable_cores
from charflow.pipeline.errors import UserError
from charflow.pipeline.settings import checked

if TYPE_CHECKING:
    from charflow.model.decoding.speed import DecodingSpeed
    from charflow.model.training.throughput import Throughput

# What a measurement depends on.
_MEASURED = (
    *("users", "fraction", "csv"),
    *("cell", "units", "layers"),
    *("window_length", "targets", "batch_size", "precision"),
)
_BATCH_SIZES = [1, 2, 8, 64]  # of texts that are written at once
_PROCESSES = 2  # by default; more than that say little about a machine that the strategies of one process do not

bench = typer.Typer(help="Measure this machine.", add_completion=False, rich_markup_mode=None)


@bench.callback()
def _measure() -> None:
    """Measure this machine."""


@bench.command(cls=Command)
@checked
@options.settings(Config, only=_MEASURED)
def train(
    context: typer.Context,
    data: options.Data,
    preset: options.Preset = None,
    changes: options.Changes = options.NO_CHANGES,
    seconds: Annotated[float, typer.Option(metavar="S", help="To train under each strategy."), Bounds(above=0)] = 10.0,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes of a local cluster; 0: none. [default: 2, with a core or GPU each]"),
        Bounds(at_least=0),
    ] = None,
    json: options.Json = False,
) -> None:
    """Train for some seconds under each strategy that this machine has: windows/s, labels/s, FLOP/s and their share.

    As a worker of a cluster it measures that cluster alone.
    """
    in_cluster = names_cluster(os.environ)
    if in_cluster and workers is not None:
        raise UserError("--workers is of no use in a worker of a cluster, which measures that cluster: leave it out.")
    load_tensorflow(start_devices=not in_cluster)
    from charflow.model.distributed.strategy import make_strategy, placement
    from charflow.model.presets import preset as named
    from charflow.model.training.throughput import Throughput, available_strategies, measure_throughput
    from charflow.model.training_text import TextInMemory
    from charflow.pipeline.corpus.cache import CorpusCache
    from charflow.pipeline.corpus.corpus import build_corpus
    from charflow.pipeline.formats.inputs import find_inputs
    from charflow.pipeline.tables import override

    config = override(named(preset or "default"), changes)
    strategies = {"cluster": make_strategy("multi-worker")} if in_cluster else available_strategies()
    with waiting("reading"):
        files = find_inputs(data)
        context.params["data"] = [file.path for file in files]  # workers cannot read a pipe again
        text = TextInMemory(build_corpus(files, config.corpus, CorpusCache(None)))
    found = {name: measure_throughput(config, text, strategy, seconds=seconds) for name, strategy in strategies.items()}
    if in_cluster and not placement(strategies["cluster"]).chief:
        return
    count = 0 if in_cluster else _processes(workers)
    if count:
        figures = _measure_cluster(context, count)
        found[f"{count} processes"] = Throughput(**{**figures, "devices": tuple(figures["devices"])})
    if json:
        rows = {name: {**asdict(each), "share_of_peak": each.share_of_peak} for name, each in found.items()}
        console.print_json({"batch_size": config.training.batch_size, "strategies": rows})
    else:
        _show(found)


@bench.command(cls=Command)
@checked
@options.settings(Config, only=("cell", "units", "layers"))
def decode(
    preset: options.Preset = None,
    changes: options.Changes = options.NO_CHANGES,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", help=f"Texts at once. [default: {', '.join(map(str, _BATCH_SIZES))}]"),
        Bounds(at_least=1),
    ] = None,
    vocabulary: Annotated[int, typer.Option(metavar="N", help="Characters of the network."), Bounds(at_least=2)] = 76,
    chars: Annotated[int, typer.Option(metavar="N", help="To write in each text."), Bounds(at_least=1)] = 400,
    turns: Annotated[int, typer.Option(metavar="N", help="Of each way; the best counts."), Bounds(at_least=1)] = 7,
    xla: Annotated[bool, typer.Option("--xla/--no-xla", help="Whether XLA takes turns, too.")] = True,
    json: options.Json = False,
) -> None:
    """Let a new network write: characters/s, of what a bare loop and its matrix products alone would reach."""
    load_tensorflow()
    from charflow.model.decoding.speed import measure_decoding
    from charflow.model.presets import preset as named
    from charflow.pipeline.tables import override

    network = override(named(preset or "default"), changes).network
    sizes = [batch_size] if batch_size else _BATCH_SIZES
    found = measure_decoding(network, vocabulary, sizes, chars=chars, turns=turns, xla=xla)
    with waiting("measuring"):
        rows = list(found)
    if json:
        console.print_json({"units": network.units, "batches": [asdict(each) for each in rows]})
    else:
        _show_decoding(rows)


def _processes(wanted: int | None) -> int:
    """How many processes to measure together."""
    if wanted is not None:
        return wanted
    devices = len(visible_gpus(os.environ)) or usable_cores()
    return _PROCESSES if devices >= _PROCESSES else 0


def _measure_cluster(context: typer.Context, workers: int) -> dict:
    """Runs this command again in every worker of a local cluster, and reads the chief's figures."""
    command = [sys.executable, "-m", "charflow", "bench", "train", "--json", *_words(context)]
    environments = worker_environments(
        workers,
        join_timeout=JOIN_SECONDS,
        environ=os.environ,
        cores=usable_cores(),
        gpus=visible_gpus(os.environ),
    )
    heard = _Heard()
    with StopSignals() as signals:
        ending = run_workers(command, environments, grace=GRACE, listener=heard, signals=signals)
    if signals.asked:
        raise Terminated if signal.SIGTERM in signals.asked else KeyboardInterrupt
    if ending.status:
        console.err.print(heard.text(ending.worker or CHIEF, "err"), end="")
        raise typer.Exit(ending.status)
    figures: dict = json_format.loads(heard.text(CHIEF, "out"))["strategies"]["cluster"]
    figures.pop("share_of_peak")
    return figures


def _words(context: typer.Context) -> list[str]:
    """The command line that gives this command's own parameters."""
    words: list[str] = []
    for name, value in context.params.items():
        if name in ("data", "json", "workers") or value is None:
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            option = f"--{name.replace('_', '-')}"
            words.append(option if each is True else f"{option}={each}")
    return [*words, "--", *context.params["data"]]


class _Heard:
    """Keeps what workers write."""

    def __init__(self) -> None:
        self._streams: dict[tuple[int, str], bytearray] = {}

    def wrote(self, worker: int, stream: str, chunk: bytes) -> None:
        self._streams.setdefault((worker, stream), bytearray()).extend(chunk)

    def text(self, worker: int, stream: str) -> str:
        return self._streams.get((worker, stream), bytearray()).decode(errors="replace")


def _show_decoding(found: "list[DecodingSpeed]") -> None:
    console.columns(
        console.out,
        ["texts", "characters/s", "bare loop", "ratio", "XLA", "bare, XLA", "of the products"],
        [
            (
                f"{each.batch_size:,}",
                f"{each.written:,.0f}",
                f"{each.bare_loop:,.0f}",
                f"{each.written / each.bare_loop:.2f}x",
                f"{each.written_xla:,.0f}" if each.written_xla else "-",
                f"{each.bare_loop_xla:,.0f}" if each.bare_loop_xla else "-",
                f"{each.written / each.products:.0%} of {each.products:,.0f}",
            )
            for each in found
        ],
        right=7,
    )


def _show(found: "dict[str, Throughput]") -> None:
    console.columns(
        console.out,
        ["strategy", "windows/s", "labels/s", "ms/step", "GFLOP/s", "of the peak"],
        [
            (
                f"{each.strategy} ({name})",
                f"{each.windows_per_second:,.0f}",
                f"{each.labels_per_second:,.0f}",
                f"{each.milliseconds_per_step:.2f}",
                f"{each.flops_per_second / 1e9:,.1f}",
                f"{each.share_of_peak:.0%} of {each.peak_flops_per_second / 1e9:,.0f}",
            )
            for name, each in found.items()
        ],
        right=5,
    )
