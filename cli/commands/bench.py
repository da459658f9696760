"""`charflow bench`: how fast this machine reads, trains, writes and serves, and of what it could do."""

import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charflow.cli import options
from charflow.cli.benchmark_screen import show
from charflow.cli.command_line import Command
from charflow.cli.interrupts import Terminated
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.model.config import Config, NetworkConfig
from charflow.model.distributed.cluster import names_cluster
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.errors import UserError
from charflow.pipeline.settings import checked

if TYPE_CHECKING:
    from charflow.benchmarks.comparison import Comparison, Way
    from charflow.model.training_text import TextInMemory
    from charflow.pipeline.formats.inputs import InputFile

# What the measurements depend on.
_READ = ("users", "user_column", "text_column")
_MEASURED = (
    *("users", "fraction", "csv"),
    *("cell", "units", "layers"),
    *("window_length", "targets", "batch_size", "precision"),
)
_BATCH_SIZES = [1, 2, 8, 64]  # of texts that are written at once
_SECONDS = 10.0  # of training
_CHARS, _VOCABULARY = 400, 76  # of each text, and of a network that nobody trained

Turns = Annotated[
    int, typer.Option(metavar="N", help="Of each way, one after the other; medians count."), Bounds(at_least=1)
]
Seconds = Annotated[float, typer.Option(metavar="S", help="To train under each strategy."), Bounds(above=0)]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", help="Processes of a local cluster; 0: none. [default: 2, with a core or GPU each]"),
    Bounds(at_least=0),
]

bench = typer.Typer(help="Measure this machine.", add_completion=False, rich_markup_mode=None)


@bench.callback()
def _measure() -> None:
    """Measure this machine."""


@bench.command(cls=Command)
@checked
@options.settings(Config, only=_READ)
def pipeline(
    data: options.Data, changes: options.Changes = options.NO_CHANGES, turns: Turns = 5, json: options.Json = False
) -> None:
    """Read a chat CSV to windows, to ids and to a prepared folder: beside the tutorial recipe, and reading alone."""
    load_tensorflow()
    show({"pipeline": _reading(_found(data), _config(None, changes), turns)}, json)


@bench.command(cls=Command)
@checked
@options.settings(Config, only=_MEASURED)
def train(
    context: typer.Context,
    data: options.Data,
    preset: options.Preset = None,
    changes: options.Changes = options.NO_CHANGES,
    seconds: Seconds = _SECONDS,
    workers: Workers = None,
    turns: Turns = 5,
    json: options.Json = False,
) -> None:
    """Train for some seconds under each strategy that this machine has: windows/s, of what its products would allow.

    As a worker of a cluster it measures that cluster alone.
    """
    in_cluster = names_cluster(os.environ)
    if in_cluster and workers is not None:
        raise UserError("--workers is of no use in a worker of a cluster, which measures that cluster: leave it out.")
    load_tensorflow(start_devices=not in_cluster)
    from charflow.benchmarks.training import measure_strategies
    from charflow.model.distributed.strategy import make_strategy, placement

    files, config = _found(data), _config(preset, changes)
    if not in_cluster:
        words = _words(context, [file.path for file in files])  # workers cannot read a pipe again
        show({"train": _training(files, config, words, seconds, workers, turns)}, json)
        return
    strategies = {"cluster": make_strategy("multi-worker")}
    text = _text(files, config)
    found = measure_strategies(config, text, strategies, seconds=seconds, turns=turns, limit=False)
    if placement(strategies["cluster"]).chief:
        show({"train": iter([found])}, json)


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
    vocabulary: Annotated[
        int, typer.Option(metavar="N", help="Characters of the network."), Bounds(at_least=2)
    ] = _VOCABULARY,
    chars: Annotated[int, typer.Option(metavar="N", help="To write in each text."), Bounds(at_least=1)] = _CHARS,
    turns: Turns = 5,
    xla: Annotated[bool, typer.Option("--xla/--no-xla", help="Whether XLA takes turns, too.")] = True,
    json: options.Json = False,
) -> None:
    """Let a new network write: characters/s, beside a bare loop, its matrix products alone, and the tutorial recipe."""
    load_tensorflow()
    sizes = [batch_size] if batch_size else _BATCH_SIZES
    network = _config(preset, changes).network
    show({"decode": _writing(network, sizes, vocabulary, chars=chars, turns=turns, xla=xla)}, json)


@bench.command(cls=Command)
@checked
def serve(
    models: Annotated[
        Path | None, typer.Argument(metavar="MODELS", help="What export wrote. [default: a new network]")
    ] = None,
    turns: Turns = 3,
    json: options.Json = False,
) -> None:
    """Call a served model alone and by many, over gRPC and REST: calls/s, of what the same model does in process."""
    load_tensorflow()
    show({"serve": _served(models, turns)}, json)


@bench.command("all", cls=Command)
@checked
@options.settings(Config, only=_READ)
def everything(
    context: typer.Context,
    data: options.Data,
    changes: options.Changes = options.NO_CHANGES,
    turns: Turns = 5,
    json: options.Json = False,
) -> None:
    """Measure all of it, with the default network, and the machine's own limits."""
    load_tensorflow()
    from charflow.benchmarks.limits import limits

    files, config = _found(data), _config(None, changes)
    words = _words(context, [file.path for file in files])
    show(
        {
            "machine": limits(turns),
            "pipeline": _reading(files, config, turns),
            "train": _training(files, config, words, _SECONDS, None, turns),
            "decode": _writing(config.network, _BATCH_SIZES, turns=turns, xla=True),
            "serve": _served(None, turns),
        },
        json,
        files,
    )


def _found(data: list[str]) -> "list[InputFile]":
    from charflow.pipeline.formats.inputs import find_inputs

    return find_inputs(data)


def _config(preset: str | None, changes: options.Changes) -> Config:
    from charflow.model.presets import preset as named
    from charflow.pipeline.tables import override

    return override(named(preset or "default"), changes)


def _text(files: "list[InputFile]", config: Config) -> "TextInMemory":
    from charflow.model.training_text import TextInMemory
    from charflow.pipeline.corpus.cache import CorpusCache
    from charflow.pipeline.corpus.corpus import build_corpus

    with waiting("reading"):
        return TextInMemory(build_corpus(files, config.corpus, CorpusCache(None)))


def _reading(files: "list[InputFile]", config: Config, turns: int) -> "Iterator[Comparison]":
    from charflow.benchmarks.pipeline import measure_pipeline

    return measure_pipeline(files, config.corpus, turns=turns)


def _training(
    files: "list[InputFile]", config: Config, words: list[str], seconds: float, workers: int | None, turns: int
) -> "Iterator[Comparison]":
    from charflow.benchmarks.gradients import has_gradients, measure_gradients
    from charflow.benchmarks.local_cluster import count_processes
    from charflow.benchmarks.training import available_strategies, measure_recipe, measure_strategies

    text, strategies = _text(files, config), available_strategies()
    found = measure_strategies(config, text, strategies, seconds=seconds, turns=turns)
    if count := count_processes(workers):
        own = len(strategies)
        found = replace(found, ways=(*found.ways[:own], _cluster(words, count), *found.ways[own:]))
    yield found
    if has_gradients(config):
        yield measure_gradients(config, text.vocabulary.size, turns=turns)
    yield measure_recipe(text, seconds=seconds, turns=turns)


def _cluster(words: list[str], count: int) -> "Way":
    """Measures a local cluster; who stops it, or what it cannot do, ends this process likewise."""
    from charflow.benchmarks.local_cluster import ClusterError, ClusterStopped, measure_cluster

    try:
        return measure_cluster(words, count)
    except ClusterStopped as stopped:
        raise Terminated if signal.SIGTERM in stopped.signals else KeyboardInterrupt from stopped
    except ClusterError as failed:
        console.err.print(failed.said, end="")
        raise typer.Exit(failed.status) from failed


def _writing(
    network: NetworkConfig,
    sizes: list[int],
    vocabulary: int = _VOCABULARY,
    *,
    chars: int = _CHARS,
    turns: int,
    xla: bool,
) -> "Iterator[Comparison]":
    from charflow.benchmarks.decoding import measure_decoding, measure_lengths, measure_recipe

    yield from measure_decoding(network, vocabulary, sizes, chars=chars, turns=turns, xla=xla)
    if max(sizes) > 1:
        yield measure_lengths(network, vocabulary, max(sizes), chars=chars, turns=turns)
    yield measure_recipe(vocabulary, chars=chars, turns=turns, xla=xla)


def _served(models: Path | None, turns: int) -> "Iterator[Comparison]":
    from charflow.benchmarks.serving import export_new, measure_serving

    with tempfile.TemporaryDirectory() as folder:
        with waiting("exporting"):
            base = models or export_new(Path(folder))
        yield from measure_serving(base.resolve(), turns=turns)


def _words(context: typer.Context, data: list[str]) -> list[str]:
    """The command line of `bench train` that gives this command's own parameters, and these files."""
    words: list[str] = []
    for name, value in context.params.items():
        if name in ("data", "json", "workers") or value is None:
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            option = f"--{name.replace('_', '-')}"
            words.append(option if each is True else f"{option}={each}")
    return [*words, "--", *data]
