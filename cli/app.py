"""Joins the commands, and turns every error into one sentence and an exit status.

Nothing here or in the command modules imports TensorFlow before a command runs, so `--help` answers at once.
"""

import errno
import signal
import sys
from importlib.metadata import version
from platform import python_version
from typing import Annotated

import typer

from charflow import __version__
from charflow.cli import interrupts
from charflow.cli.command_line import Command, check_environment, check_words, usage_message
from charflow.cli.commands.bench import bench
from charflow.cli.commands.complete import complete
from charflow.cli.commands.demo import demo
from charflow.cli.commands.evaluate import evaluate
from charflow.cli.commands.explore import explore
from charflow.cli.commands.export import export
from charflow.cli.commands.generate import generate
from charflow.cli.commands.launch import LAUNCH_SETTINGS, LaunchCommand, launch
from charflow.cli.commands.prepare import prepare
from charflow.cli.commands.promote import promote
from charflow.cli.commands.serve import SETTINGS, ServeCommand, serve
from charflow.cli.commands.sweep import sweep
from charflow.cli.commands.train import train
from charflow.cli.commands.who import who
from charflow.cli.exit_status import INTERRUPTED, PEER_LOST, PREEMPTED, USER_MISTAKE, Interrupted
from charflow.cli.interrupts import Terminated
from charflow.cli.options import spelled
from charflow.cli.terminal import console
from charflow.pipeline.errors import PeerError, UserError, not_utf8, reason
from charflow.serving.client.wire.transport import Unreachable
from charflow.serving.errors import ServingError, UsageError

app = typer.Typer(
    name="charflow",
    help="Turn a chat export (CSV) into a text generator that any TensorFlow system can use.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (explore, prepare, train, sweep, evaluate, who, generate, export, complete, promote, demo):
    app.command(cls=Command)(command)
app.add_typer(bench, name="bench")
app.command(cls=LaunchCommand, context_settings=LAUNCH_SETTINGS)(launch)
app.command(cls=ServeCommand, context_settings=SETTINGS)(serve)

_LONGEST = 4000  # characters of a message, whatever a library or a server put into it


@app.callback(invoke_without_command=True)
def charflow(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the versions and leave.")] = False,
) -> None:
    """Turn a chat export (CSV) into a text generator that any TensorFlow system can use."""
    if show_version:
        console.out.print(f"charflow {__version__} ({', '.join(_beside())})")
        raise typer.Exit
    if context.invoked_subcommand is None:
        console.out.write(f"{context.get_help()}\n")
        raise typer.Exit(USER_MISTAKE)


def _beside() -> list[str]:
    """The versions that decide what charflow does, as they are installed: TensorFlow is not loaded for that."""
    packages = {"TensorFlow": "tensorflow", "Keras": "keras"}
    return [*(f"{name} {version(package)}" for name, package in packages.items()), f"Python {python_version()}"]


def run(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    try:
        check_words(sys.argv[1:] if arguments is None else arguments)
        check_environment()
        status = app(arguments, standalone_mode=False) or 0
        return _say("interrupted.", status) if status == INTERRUPTED else status
    except typer.TyperException as error:  # wrong usage of the command line
        return _say(usage_message(error), error.exit_code)
    except Terminated:
        return _say(interrupts.message(signal.SIGTERM), PREEMPTED)
    except SystemExit as exit_:  # typer leaves so when the reader of a pipe, such as head, has seen enough
        if isinstance(exit_.__context__, BrokenPipeError):
            return 0
        raise
    except (typer.Abort, KeyboardInterrupt):
        return _say("interrupted.", INTERRUPTED)
    except Interrupted as interruption:
        return _say(str(interruption), interruption.status) if str(interruption) else interruption.status
    except PeerError as error:
        return _say(error.told(spelled), PEER_LOST)
    except (UserError, UsageError) as error:
        return _say(error.told(spelled), USER_MISTAKE)
    except Unreachable as error:
        return _say(error.for_command(), USER_MISTAKE)
    except ServingError as error:
        return _say(f"{reason(error)}.", USER_MISTAKE)
    except OSError as error:
        return _say(_os_message(error), USER_MISTAKE)
    except UnicodeError as error:  # from a name of the file system, which no check above has seen
        text = getattr(error, "object", b"")
        near = not_utf8(text.decode(errors="surrogateescape") if isinstance(text, bytes) else text)
        return _say(f"{near or 'The input'} is not UTF-8 text: rename the file, or save it as UTF-8.", USER_MISTAKE)


def _say(message: str, status: int) -> int:
    console.say(message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…")
    return status


def _os_message(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    advice = " Free some room and try again." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return f"{where}{error.strerror or error}.{advice}"
