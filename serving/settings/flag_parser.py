"""Reads and writes command lines by the table of flags.

`charflow serve` and `charflow-model-server` parse their arguments here; what was given becomes the `ServerFlags` of the
embedded server, or arguments again for tensorflow_model_server.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NoReturn

from charflow.serving.errors import UsageError
from charflow.serving.settings.flags import FLAGS, Flag, ServerFlags, Value, check_ports

NOTHING: Mapping[str, Value] = MappingProxyType({})


def parse_flags(
    arguments: Sequence[str],
    *,
    prog: str,
    rest_api_port: int,
    embedded_only: Mapping[str, Value] = NOTHING,
    extra: Sequence[Flag] = (),
) -> dict[str, Any]:
    """Parses a command line: `--flag=value`, `--flag value`, and `--flag` alone for true.

    Args:
        arguments: without the program's name.
        prog: the program's name in --help.
        rest_api_port: its default, which the two commands do not share.
        embedded_only: likewise; as not every back end takes these, only --help has them.
        extra: flags of the command itself, which come first in --help.

    Returns:
        the flags that were given, by name, in their types, and `rest_api_port` in any case.

    Raises:
        UsageError: a flag nobody knows, a value of the wrong type, or bytes that are not UTF-8.
        SystemExit: after --help.

    >>> parse_flags(["--port=1", "--enable_batching"], prog="charflow serve", rest_api_port=8501)
    {'rest_api_port': 8501, 'port': 1, 'enable_batching': True}
    """
    for argument in arguments:
        _check_text(argument)
    parser = _parser(prog, {"rest_api_port": rest_api_port, **embedded_only}, extra)
    found, left = parser.parse_known_args(arguments)
    for argument in left:
        _refuse_unknown(argument, [flag.name for flag in (*extra, *FLAGS)])
    given = {"rest_api_port": rest_api_port, **vars(found)}
    check_ports(given.get("port", ServerFlags.port), given["rest_api_port"])
    return given


def embedded_flags(given: Mapping[str, Any]) -> ServerFlags:
    """Makes the embedded server's flags, or refuses by name one that it does not honour, unless that is off."""
    for flag in FLAGS:
        if given.get(flag.name) and not flag.embedded:
            raise UsageError(
                f"--{flag.name} is not honoured by the embedded server: leave it out, or run tensorflow_model_server."
            )
    known = {known.name for known in fields(ServerFlags)}
    return ServerFlags(**{name: value for name, value in given.items() if name in known})


def model_server_arguments(given: Mapping[str, Any]) -> list[str]:
    """Writes flags as tensorflow_model_server takes them, or refuses by name one that it does not know.

    >>> model_server_arguments({"port": 1, "enable_batching": True})
    ['--port=1', '--enable_batching=true']
    """
    for flag in FLAGS:
        if flag.name in given and flag.ours:
            raise UsageError(
                f"--{flag.name} is only for the embedded server: leave it out, or take --backend embedded."
            )
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in given.items()]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ').replace(': ', ' ', 1)}. Try --help.")

    def format_help(self) -> str:
        return super().format_help().replace("usage", "Usage", 1)


def _parser(prog: str, defaults: Mapping[str, Value], extra: Sequence[Flag]) -> _Parser:
    parser = _Parser(
        prog=prog,
        usage="%(prog)s [--flag=value ...]",
        description="Serve SavedModels over gRPC and REST.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    ours = parser.add_argument_group("flags of charflow")
    served = parser.add_argument_group("flags of tensorflow_model_server")
    refused = parser.add_argument_group("flags of tensorflow_model_server that the embedded server does not honour")
    for flag in extra:
        _add(ours, flag, flag.default)
    for flag in FLAGS:
        group = ours if flag.ours else served if flag.embedded else refused
        _add(group, flag, defaults.get(flag.name, flag.default))
    return parser


def _add(group: argparse._ArgumentGroup, flag: Flag, default: Value) -> None:
    shown = str(default).lower() if isinstance(default, bool) else default
    text = f"{flag.help} [default: {shown}]" if shown != "" else flag.help
    if isinstance(flag.default, bool):
        group.add_argument(f"--{flag.name}", nargs="?", const=True, type=_boolean, metavar="BOOL", help=text)
    elif isinstance(flag.default, str):
        group.add_argument(f"--{flag.name}", metavar="PATH" if flag.path else "TEXT", help=text)
    else:
        number = _whole_number if isinstance(flag.default, int) else _number
        group.add_argument(f"--{flag.name}", type=number, metavar="N", help=text)


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
    return values[text.lower()]


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None


def _check_text(argument: str) -> None:
    try:
        argument.encode()
    except UnicodeEncodeError:  # Python keeps bytes that it cannot decode as lone surrogates (PEP 383)
        shown = argument.encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise UsageError(f"'{shown}' is not UTF-8 text: type it in a UTF-8 terminal, or rename the file.") from None


def _refuse_unknown(argument: str, names: Sequence[str]) -> NoReturn:
    name = argument.removeprefix("--").partition("=")[0]
    if not argument.startswith("--"):
        raise UsageError(f"Unexpected argument {argument!r}: flags are given as --name=value.")
    near = get_close_matches(name.replace("-", "_"), names, n=1)
    raise UsageError(f"There is no flag --{name}: {f'the nearest is --{near[0]}' if near else 'see --help'}.")
