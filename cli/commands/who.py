"""`charflow who`: who of some people would have written a text."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charflow.cli import options
from charflow.cli.modes import mode
from charflow.cli.prompts import read_prompts
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.pipeline.errors import counted
from charflow.pipeline.formats.csv_format import CsvFormat

if TYPE_CHECKING:
    from charflow.model.evaluation.author_accuracy import AuthorAccuracy
    from charflow.model.evaluation.authorship import Authors

_WIDEST_NAME = 26  # columns
_MOST_COLUMNS = 12  # of people, beside each other; the table of more is too wide to be read


@mode("held_out", ignores=("texts", "file"))
@mode("held_out", given=False, ignores=("cache", "no_cache"))
@mode("file", given=False, ignores=("user", "changes"))
@mode("no_cache", ignores=("cache",))
@options.settings(CsvFormat)
def who(
    among: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the runs of people.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Messages of one person; - reads standard input, a message a line."),
    ] = None,
    file: Annotated[
        list[str] | None, typer.Option("--file", metavar="DATA", help="A chat, whose messages are taken; repeatable.")
    ] = None,
    user: Annotated[
        list[str] | None, typer.Option("--user", metavar="ID", help="Of the chat, the messages of this user only.")
    ] = None,
    changes: options.Changes = options.NO_CHANGES,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Measure how often the authors of held-out messages are told.")
    ] = False,
    cache: options.Cache = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Rank who of the people in DIR would have written a text, by the bits per character that their runs take for it.

    All texts are taken for one person's. The posterior is what each one's share is if all were as likely before, and
    one of them is the author.
    """
    load_tensorflow()
    from charflow.model.evaluation.authorship import Authors, messages_of

    authors = Authors(among)
    if held_out:
        _measure(authors, cache=cache, no_cache=no_cache, json=json)
        return
    messages = read_prompts(texts) if texts or not file else []
    with waiting("reading"):
        messages += messages_of(file or [], authors.text, users=user or (), csv=changes)
    with waiting("scoring"):
        ranked = authors.rank(messages)
    if json:
        people = [asdict(each) for each in ranked]
        console.print_json({"among": str(among), "messages": len(messages), "people": people})
        return
    console.columns(
        console.out,
        ["person", "bits/char", "posterior"],
        [
            (console.cut(each.person, _WIDEST_NAME), f"{each.bits_per_char:.3f}", f"{each.posterior:.3f}")
            for each in ranked
        ],
        right=2,
    )


def _measure(authors: "Authors", *, cache: Path | None, no_cache: bool, json: bool) -> None:
    from charflow.model.evaluation import ngram_classifier
    from charflow.model.evaluation.author_accuracy import measure
    from charflow.pipeline.corpus.cache import CorpusCache

    if not ngram_classifier.is_installed():
        console.remark(["n-grams to compare with need scikit-learn: install it, with pip install 'charflow[authors]'"])
    with waiting("measuring"):
        measured = measure(authors, None if no_cache else CorpusCache(cache))
    if json:
        found = [{**asdict(each), "confusion": each.confusion.tolist()} for each in measured]
        console.print_json({"people": authors.names, "held_out": found})
        return
    _show_accuracy(measured, len(authors.names))
    console.out.print()
    _show_confusion(authors.names, max(measured, key=lambda each: (each.messages <= 5, each.messages)))


def _show_accuracy(measured: "Sequence[AuthorAccuracy]", people: int) -> None:
    console.columns(
        console.out,
        ["messages at a time", "tried", "told right", "by n-grams", "by chance"],
        [
            (
                f"{each.messages}",
                f"{each.tried:,}",
                f"{each.accuracy:.1%}",
                "" if each.n_grams is None else f"{each.n_grams:.1%}",
                f"{1 / people:.1%}",
            )
            for each in measured
        ],
        right=5,
    )


def _show_confusion(names: Sequence[str], found: "AuthorAccuracy") -> None:
    """Prints in percent whom the messages of each person were taken for, of many people the first few."""
    shown = len(names) if len(names) <= _MOST_COLUMNS else 0
    console.out.print(f"Of {counted(found.messages, 'message')} at a time, taken for, in percent:")
    rows = []
    for number, (name, row) in enumerate(zip(names, found.confusion, strict=True)):
        shares = [f"{share:.0f}" if share else "·" for share in 100 * row / max(1, row.sum())]
        best = names[int(row.argmax())] if row.sum() else ""
        own = shares if shown else [shares[number], console.cut(best, _WIDEST_NAME)]
        rows.append((f"{number + 1} {console.cut(name, _WIDEST_NAME)}", *own))
    heads = [str(number + 1) for number in range(shown)] if shown else ["right", "mostly for"]
    console.columns(console.out, ["person", *heads], rows, right=len(heads))
