"""`charflow prepare`: encodes chats of any size into a folder that `charflow train` reads."""

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charflow.cli import noticed, options
from charflow.cli.interrupts import saying
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import counted
from charflow.pipeline.tables import override

if TYPE_CHECKING:
    from charflow.pipeline.prepared.corpus import PreparedCorpus


@options.settings(CorpusSettings)
def prepare(
    data: options.Data,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the corpus: new, or one to go on with.")],
    changes: options.Changes = options.NO_CHANGES,
    shard_size: Annotated[int, typer.Option(metavar="N", help="Characters in a shard.")] = 32 << 20,
    json: options.Json = False,
) -> None:
    """Encode chats of any size into a folder of shards, in bounded memory.

    Interrupted, the same command goes on after the last whole shard. `charflow train DIR` trains on the folder.
    """
    load_tensorflow()
    from charflow.model.presets import preset
    from charflow.pipeline.prepared.writing import prepare_corpus
    from charflow.pipeline.remarks import remarks

    settings = override(preset("default").corpus, changes)
    began = time.monotonic()
    with saying("interrupted: the same command goes on after the last whole shard."), _PreparationScreen() as screen:
        prepared = prepare_corpus(data, settings, to, shard_size=shard_size, progress=screen.show)
    figures = _figures(prepared, time.monotonic() - began)
    console.remark(remarks(prepared))
    if json:
        console.print_json(figures)
    else:
        _show(to, prepared, figures)


class _PreparationScreen:
    """Draws a progress bar on a terminal."""

    def __init__(self) -> None:
        self._progress = console.err.progress()
        self._task = self._progress.add_task("checking", total=None, figures="")
        self._doing = "checking"

    def __enter__(self) -> "_PreparationScreen":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, doing: str, share: float) -> None:
        if doing != self._doing:
            self._doing = doing
            self._progress.reset(self._task, description=doing, total=1.0)
        left = self._progress.tasks[self._task].time_remaining
        figures = "" if left is None else f"{console.duration(left)} left"
        self._progress.update(self._task, completed=share, figures=figures)


def _figures(prepared: "PreparedCorpus", seconds: float) -> dict[str, Any]:
    return {
        **prepared.facts(),
        "shards": len(prepared.shards),
        "bytes": prepared.characters * prepared.dtype.itemsize,
        "dtype": prepared.dtype.name,
        "seconds": seconds,
    }


def _show(folder: Path, prepared: "PreparedCorpus", figures: dict[str, Any]) -> None:
    noticed.warn(prepared.noticed)
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in figures["dropped"].items())
    console.pairs(
        console.out,
        [
            (
                "messages",
                f"{figures['messages']:,} of {counted(figures['rows'], 'row')}" + (f" ({dropped})" if dropped else ""),
            ),
            (
                "characters",
                f"{prepared.count_learned(0, prepared.split):,} to learn, "
                f"{prepared.count_learned(prepared.split, prepared.characters):,} held out, "
                f"{figures['distinct_characters']:,} distinct",
            ),
            *noticed.longest(prepared.noticed),
            ("shards", f"{figures['shards']:,}, {console.size(figures['bytes'])} of {figures['dtype']} ids"),
            ("took", console.duration(figures["seconds"])),
        ],
    )
    console.out.print(console.Copied(f"\nTrain on it: charflow train {shlex.quote(str(folder))} --out RUN"))
