"""Options that several commands share, and how the given ones become a `Config`.

An option that was not given is None, so that a preset or a file can decide.
"""

import functools
import inspect
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from charflow.model.config import Config
from charflow.model.decoding.settings import Limits, SamplingSettings
from charflow.model.presets import PRESETS
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.option import Settable, settable
from charflow.pipeline.tables import nested


def offers(*choices: str) -> Callable[[], list[str]]:
    """What the shell completes an option's value by; where nothing fits it offers files."""
    return lambda: list(choices)


Data = Annotated[
    list[str], typer.Argument(metavar="DATA", help="Files, folders or globs, compressed or not; - is standard input.")
]
CsvOrPrepared = Annotated[
    list[str],
    typer.Argument(metavar="DATA", help="Files, folders or globs, compressed or not; -; a folder of prepare."),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a trained run.")]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output.")]

Preset = Annotated[
    str | None,
    typer.Option(metavar="P", help="default, or tutorial. [default: default]", autocompletion=offers(*PRESETS)),
]
Changes: TypeAlias = dict[str, Any]  # an option for each setting of a table, where `settings` stands above
NO_CHANGES: Changes = {}

Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Where encoded corpora are kept.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the corpus cache.")]

ReplyTo = Annotated[
    str | None, typer.Option("--reply-to", metavar="TEXT", help="Answer this, in the words of the prompts if any.")
]
TextCount = Annotated[
    int,
    typer.Option(metavar="N", help="Texts for each prompt, with seeds from --seed on."),
    Bounds(at_least=1, at_most=100_000),
]
Context = Annotated[
    str,
    typer.Option(
        metavar="stream|window",
        help="Carry the state along, or see the last window only.",
        autocompletion=offers("stream", "window"),
    ),
]

Encrypt = Annotated[bool, typer.Option("--tls", help="Encrypt, and trust the roots of this system.")]
Authority = Annotated[Path | None, typer.Option(metavar="FILE", help="Encrypt, and trust these certificates.")]
Certificate = Annotated[Path | None, typer.Option(metavar="FILE", help="Encrypt, and show this certificate.")]
PrivateKey = Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key.")]

_TABLES = (Config, SamplingSettings, Limits)
# How the command line writes settings whose options are not called after them.
_SPELLED = {each.name: each.spelled for table in _TABLES for each in settable(table) if each.option.name}
# What other commands and other programs call what an option does.
_ALSO_CALLED = {
    "--length": ("--max-tokens", "--max-new-tokens", "--max-length", "--num-chars"),
    "--to": ("--out", "--output", "--output-dir", "--folder"),
    "--out": ("--to", "--output", "--output-dir"),
    "--shard-size": ("--shard-characters",),
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


def settings(
    table: type,
    only: Collection[str] = (),
    *,
    place: str = "changes",
    defaults: bool = False,
    describe: Callable[[str], str] = str,
) -> Callable[[Callable], Callable]:
    """Gives a command an option for each setting of a table, in the place of one of its parameters.

    That parameter gets what was given, as nested dictionaries of the fields, so that presets and files decide the rest.

    Args:
        table: a dataclass whose fields have an `Option`, or are such tables.
        only: the names of the settings, and of tables with all that is in them, which the command has; empty is all.
        place: the name of the parameter.
        defaults: what is not given is the default of the field, which the help shows, instead of left out.
        describe: makes the help of each out of that of the `Option`.
    """
    chosen: dict[str, Settable] = {}  # of those that share an option the first
    for each in settable(table):
        if not only or {each.name, *each.tables} & set(only):
            chosen.setdefault(each.spelled, each)

    def gather(values: Mapping[str, Any]) -> Changes:
        read = ((each.tables, _read(each, values.get(_argument(each)))) for each in chosen.values())
        return nested((tables, found) for tables, found in read if found)

    own = [_option(each, each.default if defaults else None, describe) for each in chosen.values()]
    names = {_argument(each): {place, each.name, *each.tables} for each in chosen.values()}
    return _in_place_of(place, own, gather, names)


def placed(command: Callable, name: str) -> set[str]:
    """The parameters that `settings` gave a command in such a place, or of a setting or table of that name."""
    return {parameter for parameter, names in getattr(command, "placed", {}).items() if name in names}


def _argument(setting: Settable) -> str:
    name = setting.spelled.lstrip("-").replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def _option(setting: Settable, default: Any, describe: Callable[[str], str]) -> inspect.Parameter:
    """The parameter of a command that stands for a setting."""
    typed: Any = list[str] if setting.type is tuple else str if setting.option.read else setting.type
    kind: Any = typed | None if default is None else typed
    names, told = [_flags(setting)] if setting.type is bool else [setting.spelled], describe(setting.option.help)
    completed = offers(*setting.choices) if setting.choices else None
    option = typer.Option(
        *names,
        metavar=setting.metavar or None,
        help=told,
        show_default=default is not None,
        autocompletion=completed,
    )
    annotation = Annotated[(kind, option, *setting.notes)]
    return inspect.Parameter(
        _argument(setting), inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation
    )


def _flags(setting: Settable) -> str:
    return f"{setting.spelled}/--no-{setting.spelled.lstrip('-')}" if setting.option.both else setting.spelled


def _read(setting: Settable, typed: Any) -> Mapping[str, Any]:
    """What was typed, as fields of the setting's table; a lone flag sets the opposite of the default."""
    if setting.option.both:
        return {} if typed is None else {setting.name: typed}
    if typed is None or typed is False or typed in ([], ()):
        return {}
    if setting.option.read:
        return setting.option.read(typed)
    return {setting.name: not setting.default if setting.type is bool else typed}


def _in_place_of(
    place: str,
    own: Sequence[inspect.Parameter],
    gather: Callable[[Mapping[str, Any]], Any],
    names: Mapping[str, set[str]],
) -> Callable[[Callable], Callable]:
    """Puts parameters into a signature in the place of one, which gets what `gather` makes of their values."""

    def decorate(command: Callable) -> Callable:
        plain = inspect.signature(command)
        parameters = [each for old in plain.parameters.values() for each in (own if old.name == place else [old])]
        signature = plain.replace(parameters=parameters)

        @functools.wraps(command)
        def call(*args: Any, **kwargs: Any) -> Any:
            values = signature.bind(*args, **kwargs).arguments
            mine = {each.name: values.pop(each.name) for each in own if each.name in values}
            return command(**values, **{place: gather(mine)})

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {each.name: each.annotation for each in parameters}
        call.__dict__["placed"] = {**getattr(command, "placed", {}), **names}
        return call

    return decorate


def given(**values: Any) -> dict[str, Any]:
    """Keeps the options that were given; empty tables too are left out."""
    return {name: value for name, value in values.items() if value is not None and value != {}}
