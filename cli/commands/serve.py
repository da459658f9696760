"""`charflow serve`: serves models, with whichever server of TensorFlow Serving's protocol there is."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import typer

from charflow.cli.command_line import Command
from charflow.cli.terminal import console

if TYPE_CHECKING:
    from charflow.serving.settings.flags import Flag

# The parser of the flags reads the whole line, --help too, so that there is no second table of them here.
SETTINGS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
_REST_API_PORT = 8501
_FOR_PEOPLE = {"playground": True, "openai_completions": True}  # which charflow-model-server has when it is asked to


class ServeCommand(Command):
    """The command, of which the shell completes the server's flags."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        from charflow.serving.settings.flags import FLAGS

        named = {f"--{flag.name}": flag.help for flag in (_backend(), *FLAGS)}
        return [_offer(name, told) for name, told in named.items() if incomplete and name.startswith(incomplete)]


def _backend() -> "Flag":
    from charflow.serving.launch.backends import BACKENDS
    from charflow.serving.settings.flags import Flag

    return Flag(name="backend", default="auto", help=f"auto, {', '.join(BACKENDS)}.")


def _offer(value: str, told: str) -> SimpleNamespace:
    return SimpleNamespace(value=value, help=told, type="plain")  # what typer shows of an item


def serve(context: typer.Context) -> None:
    """Serve models over gRPC and REST: TensorFlow Serving, its Docker image, or the embedded server."""
    from charflow.serving.launch.backends import choose_backend, start
    from charflow.serving.settings.flag_parser import parse_flags
    from charflow.serving.settings.flags import resolve_base_path

    backend = _backend()
    try:
        given = parse_flags(
            context.args,
            prog="charflow serve",
            rest_api_port=_REST_API_PORT,
            embedded_only=_FOR_PEOPLE,
            extra=[backend],
        )
    except SystemExit as leaving:  # argparse's way after --help
        raise typer.Exit from leaving
    chosen, reason = choose_backend(given.pop(backend.name, backend.default))
    console.err.print(f"Back end: {chosen} ({reason}).")
    if chosen == "embedded" and given["rest_api_port"]:
        given = {**_FOR_PEOPLE, **given}
    raise typer.Exit(start(chosen, resolve_base_path(given)))
