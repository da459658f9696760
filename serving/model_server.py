"""`charflow-model-server`: starts the embedded server as tensorflow_model_server is started.

It takes the same flags; `charflow serve --backend embedded` comes here too. TensorFlow is loaded only when they are
right.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version as installed
from typing import Any

from charflow.serving.errors import UsageError
from charflow.serving.flag_parser import embedded_flags, parse_flags
from charflow.serving.flags import VERSION
from charflow.serving.ready import print_ready

PROG = "charflow-model-server"
_FAILED, _USER_MISTAKE, _INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits: 0 served to its end, 1 could not start, 2 wrong flags, 130 interrupted early."""
    try:
        status = serve_embedded(
            parse_flags(sys.argv[1:] if arguments is None else arguments, prog=PROG, rest_api_port=0)
        )
    except UsageError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        status = _USER_MISTAKE
    except KeyboardInterrupt:
        status = _INTERRUPTED
    sys.exit(status)


def serve_embedded(given: Mapping[str, Any]) -> int:
    """Serves until a signal ends it, and returns the exit status.

    Args:
        given: the flags that were given, by name, as `parse_flags` returns them.

    Raises:
        UsageError: flags that the embedded server does not take.
    """
    if given.get(VERSION.name):
        print(f"TensorFlow ModelServer: {installed('charflow')}, the embedded server of charflow")
        print(f"TensorFlow Library: {installed('tensorflow')}")
        return 0
    flags = embedded_flags(given)
    with _quiet_unless_it_fails():
        from charflow.serving.embedded.server import serve

    try:
        return serve(flags, announce=print_ready)
    except UsageError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        return _FAILED


@contextmanager
def _quiet_unless_it_fails() -> Iterator[None]:
    """Keeps back what TensorFlow writes to file descriptor 2 while it is loaded, which no setting turns off."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except Exception:
            chatter.seek(0)
            os.write(stderr, chatter.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
