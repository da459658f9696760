"""`charflow serve`: serves models, with whichever server of TensorFlow Serving's protocol there is."""

import typer

from charflow.cli.terminal import console

# The parser of the flags reads the whole line, --help too, so that there is no second table of them here.
SETTINGS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
_REST_API_PORT = 8501
_FOR_PEOPLE = {"playground": True, "openai_completions": True}  # which charflow-model-server has when it is asked to


def serve(context: typer.Context) -> None:
    """Serve models over gRPC and REST: TensorFlow Serving, its Docker image, or the embedded server."""
    from charflow.serving.launch.backends import BACKENDS, choose_backend, start
    from charflow.serving.settings.flag_parser import parse_flags
    from charflow.serving.settings.flags import Flag, resolve_base_path

    backend = Flag(name="backend", default="auto", help=f"auto, {', '.join(BACKENDS)}.")
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
