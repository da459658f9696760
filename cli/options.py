"""Options that several commands share, and how the given ones become a `Config`.

An option that was not given is None, so that a preset or a file can decide.
"""

import functools
import inspect
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from charflow.model.decoding.samplers import SAMPLERS, Sampler
from charflow.pipeline.bounds import Bounds

Data = Annotated[
    list[str], typer.Argument(metavar="DATA", help="CSV files or globs, compressed or not; - is standard input.")
]
CsvOrPrepared = Annotated[
    list[str], typer.Argument(metavar="DATA", help="CSV files or globs, compressed or not; -, or a folder of prepare.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a trained run.")]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output.")]

Users = Annotated[
    list[str] | None, typer.Option("--user", metavar="ID", help="Keep this user; repeat for several. [default: all]")
]
DropUsers = Annotated[
    list[str] | None, typer.Option("--drop-user", metavar="ID", help="Leave this user out, such as a bot; repeatable.")
]
Fraction = Annotated[float | None, typer.Option(metavar="F", help="Use the first F of the messages, 0 to 1.")]
MinLength = Annotated[int | None, typer.Option(metavar="N", help="Leave out messages of fewer characters.")]
MinCount = Annotated[
    int | None,
    typer.Option(metavar="N", help="Characters that occur less often become [UNK]."),
    Bounds(at_least=1),
]
HeldOut = Annotated[float | None, typer.Option(metavar="F", help="Share of the messages, at the end, to test on.")]
KeepCase = Annotated[bool | None, typer.Option("--keep-case", help="Do not lowercase.", show_default=False)]
UnicodeForm = Annotated[str | None, typer.Option(metavar="NFC|NFKC", help="Normalise Unicode.")]
CaseFold = Annotated[bool | None, typer.Option("--case-fold", help="Fold case fully.", show_default=False)]
KeepInvisible = Annotated[
    bool | None,
    typer.Option("--keep-invisible", help="Keep marks that show nothing, such as U+FEFF.", show_default=False),
]

UserColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column of the user id. [default: fromUser.id]")]
TextColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column of the message. [default: text]")]
Delimiter = Annotated[str | None, typer.Option(metavar="C", help="Field delimiter. [default: comma; tab for .tsv]")]
Encoding = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of the characters, such as cp1252 or utf-16-le. [default: utf-8]")
]
Escape = Annotated[str | None, typer.Option(metavar="C", help="Takes the meaning from the next character, such as \\.")]
SkipInitialSpace = Annotated[
    bool | None,
    typer.Option("--skip-initial-space", help="Blanks after a delimiter count for nothing.", show_default=False),
]
NoHeader = Annotated[
    bool | None,
    typer.Option("--no-header", help="The first row is data; give columns by position from 0.", show_default=False),
]
SkipBadRows = Annotated[
    bool | None,
    typer.Option("--skip-bad-rows", help="Leave out rows that cannot be read, and count them.", show_default=False),
]

Preset = Annotated[str | None, typer.Option(metavar="P", help="default, or tutorial. [default: default]")]
Cell = Annotated[str | None, typer.Option(metavar="lstm|gru", help="Kind of the recurrent layers.")]
Units = Annotated[int | None, typer.Option(metavar="N", help="Width of each layer.")]
Layers = Annotated[int | None, typer.Option(metavar="N", help="Number of recurrent layers.")]
WindowLength = Annotated[int | None, typer.Option(metavar="N", help="Characters in a window.")]
Targets = Annotated[str | None, typer.Option(metavar="next|all", help="Learn the next character, or all.")]
BatchSize = Annotated[int | None, typer.Option(metavar="N", help="Windows in a global batch.")]
Precision = Annotated[str | None, typer.Option(metavar="float32|bfloat16|float16", help="Of the network's arithmetic.")]

Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Where encoded corpora are kept.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the corpus cache.")]

TextCount = Annotated[
    int,
    typer.Option(metavar="N", help="Texts for each prompt, with seeds from --seed on."),
    Bounds(at_least=1, at_most=100_000),
]
Samplers = Mapping[str, Any]  # an option for each, where `with_samplers` stands above
NO_SAMPLERS: Samplers = {}
Context = Annotated[
    str, typer.Option(metavar="stream|window", help="Carry the state along, or see the last window only.")
]


# How the command line writes settings whose options are not called after them.
_SPELLED = {
    "users": "--user",
    "drop_users": "--drop-user",
    "max_chars": "--length",
    "prompt_chars": "--max-prompt",
    "completion_chars": "--max-completion",
    "shard_characters": "--shard-size",
    "checkpoint_steps": "--checkpoint-every",
    "checkpoint_seconds": "--checkpoint-every",
    "lowercase": "--keep-case",
    "header": "--no-header",
    "folder": "--to",
}
# What other commands and other programs call what an option does.
_ALSO_CALLED = {
    "--length": ("--max-tokens", "--max-new-tokens", "--max-length", "--num-chars"),
    "--to": ("--out", "--output", "--output-dir"),
    "--out": ("--to", "--output", "--output-dir"),
    "--learning-rate": ("--lr",),
    "--server": ("--host", "--address", "--url"),
    "--model": ("--model-name",),
    "--version": ("--model-version",),
}


def spelled(settings: str | Mapping[str, Any]) -> str:
    r"""Names a setting as the command line has it; of several with their values what is typed into a shell.

    >>> spelled("window_length"), spelled("max_chars")
    ('--window-length', '--length')
    >>> spelled({"delimiter": ";", "header": False, "text_column": "my text"})
    "--delimiter ';' --no-header --text-column 'my text'"
    """
    if isinstance(settings, str):
        return _SPELLED.get(settings, f"--{settings.replace('_', '-')}")
    return " ".join(_typed(name, value) for name, value in settings.items())


def also_called(option: str) -> tuple[str, ...]:
    """Other names for what an option sets: in files, in Python, in served models, and in other programs.

    >>> also_called("--user"), "--max-chars" in also_called("--length")
    (('--users',), True)
    """
    settings = [f"--{setting.replace('_', '-')}" for setting, spelt in _SPELLED.items() if spelt == option]
    return (*settings, *_ALSO_CALLED.get(option, ()))


def _typed(name: str, value: Any) -> str:
    if value is None:
        return f"--no-{name}"
    if isinstance(value, bool):
        return spelled(name)
    word = shlex.quote("\\t" if value == "\t" else str(value))
    return f"{spelled(name)}{'=' if word.startswith('-') else ' '}{word}"


def with_samplers(described: str, *, may_be_left_out: bool = False) -> Callable[[Callable], Callable]:
    """Gives a command an option for each sampler, in the place of its parameter `samplers`, which gets their values.

    Args:
        described: the help of each, with {help} and {note} of the sampler's own.
        may_be_left_out: what is not given is None, instead of off.
    """

    def decorate(command: Callable) -> Callable:
        plain = inspect.signature(command)
        own = [_parameter(sampler, described, may_be_left_out) for sampler in SAMPLERS]
        parameters = [each for old in plain.parameters.values() for each in (own if old.name == "samplers" else [old])]
        signature = plain.replace(parameters=parameters)

        @functools.wraps(command)
        def call(*args: Any, **kwargs: Any) -> Any:
            values = signature.bind(*args, **kwargs).arguments
            samplers = {sampler.name: values.pop(sampler.name) for sampler in SAMPLERS if sampler.name in values}
            return command(**values, samplers=samplers)

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {each.name: each.annotation for each in parameters}
        return call

    return decorate


def _parameter(sampler: Sampler, described: str, may_be_left_out: bool) -> inspect.Parameter:
    kind = int if sampler.dtype == "int32" else float
    option = typer.Option(metavar=sampler.metavar, help=described.format(help=sampler.help, note=sampler.bounds.note))
    return inspect.Parameter(
        sampler.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None if may_be_left_out else kind(sampler.off),
        annotation=Annotated[kind | None if may_be_left_out else kind, option, sampler.bounds],
    )


def given(**values: Any) -> dict[str, Any]:
    """Keeps the options that were given; empty tables too are left out."""
    return {name: value for name, value in values.items() if value is not None and value != {}}


def names(changes: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings in nested dictionaries of them.

    >>> names({"users": ["mira"], "text": {"lowercase": False}})
    ('users', 'lowercase')
    """
    inner = [names(value) if isinstance(value, Mapping) else (name,) for name, value in changes.items()]
    return tuple(name for some in inner for name in some)


def csv_changes(
    user_column: str | None,
    text_column: str | None,
    delimiter: str | None,
    no_header: bool | None,
    encoding: str | None,
    escape: str | None,
    skip_initial_space: bool | None,
    skip_bad_rows: bool | None,
) -> dict[str, Any]:
    """Names the settings of `CsvFormat` that options change."""
    return given(
        user_column=user_column,
        text_column=text_column,
        delimiter=delimiter.replace("\\t", "\t") if delimiter else None,
        header=False if no_header else None,
        encoding=encoding,
        escape=escape,
        skip_initial_space=skip_initial_space or None,
        skip_bad_rows=skip_bad_rows or None,
    )


def text_changes(
    keep_case: bool | None, unicode_form: str | None, case_fold: bool | None, keep_invisible: bool | None
) -> dict[str, Any]:
    """Names the settings of `TextSettings` that options change."""
    return given(
        lowercase=False if keep_case else None,
        unicode_form=unicode_form.upper() if unicode_form else None,
        case_fold=case_fold or None,
        keep_invisible=keep_invisible or None,
    )
