"""`charflow bench train`: how fast this machine trains, and of what it could do."""

from dataclasses import asdict
from typing import Annotated

import typer

from charflow.cli import console, options
from charflow.cli.quiet import load_tensorflow

bench = typer.Typer(help="Measure this machine.", add_completion=False, rich_markup_mode=None)


@bench.callback()
def _measure() -> None:
    """Measure this machine."""


@bench.command()
def train(
    data: options.Data,
    preset: Annotated[str | None, typer.Option(metavar="P", help="default, or tutorial. [default: default]")] = None,
    user: options.Users = None,
    fraction: options.Fraction = None,
    cell: Annotated[str | None, typer.Option(metavar="lstm|gru", help="Kind of the recurrent layers.")] = None,
    units: Annotated[int | None, typer.Option(metavar="N", help="Width of each layer.")] = None,
    layers: Annotated[int | None, typer.Option(metavar="N", help="Number of recurrent layers.")] = None,
    window_length: Annotated[int | None, typer.Option(metavar="N", help="Characters in a window.")] = None,
    targets: Annotated[str | None, typer.Option(metavar="next|all", help="Learn the next character, or all.")] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Windows in a global batch.")] = None,
    seconds: Annotated[float, typer.Option(metavar="S", help="To train under each strategy.")] = 10.0,
    json: options.Json = False,
) -> None:
    """Train for some seconds under each strategy that this machine has: windows/s, labels/s, FLOP/s and their share."""
    load_tensorflow()
    from charflow.model.config import override
    from charflow.model.presets import preset as named
    from charflow.model.throughput import available_strategies, measure_throughput
    from charflow.model.training_text import TextInMemory
    from charflow.pipeline.corpus import build_corpus
    from charflow.pipeline.corpus_cache import CorpusCache
    from charflow.pipeline.errors import UserError

    if not 0 < seconds < float("inf"):
        raise UserError(f"--seconds must be above 0, not {seconds:g}.")
    changes = options.given(
        corpus=options.given(users=user, fraction=fraction),
        network=options.given(cell=cell, units=units, layers=layers),
        training=options.given(window_length=window_length, targets=targets, batch_size=batch_size),
    )
    config = override(named(preset or "default"), changes, source="options")
    text = TextInMemory(build_corpus(data, config.corpus, CorpusCache(None)))
    found = {
        name: measure_throughput(config, text, strategy, seconds=seconds)
        for name, strategy in available_strategies().items()
    }
    if json:
        figures = {name: {**asdict(each), "share_of_peak": each.share_of_peak} for name, each in found.items()}
        console.print_json({"batch_size": config.training.batch_size, "strategies": figures})
        return
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
