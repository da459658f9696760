"""`charflow-model-server`: starts the embedded server as tensorflow_model_server is started.

It takes the same flags; `charflow serve --backend embedded` comes here too. TensorFlow is loaded only when they are
right.
"""

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version as installed
from types import FrameType
from typing import Any

from charflow.serving.embedded.core.without_keras import without_keras
from charflow.serving.errors import UsageError
from charflow.serving.listening import check_listening, is_shut_in
from charflow.serving.ready import print_ready
from charflow.serving.scratch import quiet_unless_it_fails
from charflow.serving.settings.flag_parser import embedded_flags, parse_flags
from charflow.serving.settings.flags import VERSION

PROG = "charflow-model-server"
_FAILED, _USER_MISTAKE = 1, 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits: 0 served to its end, 1 could not start, 2 wrong flags, 128 + n by an early signal."""
    with _ended_by_signals():
        try:
            status = serve_embedded(
                parse_flags(sys.argv[1:] if arguments is None else arguments, prog=PROG, rest_api_port=0)
            )
        except UsageError as error:
            print(f"{PROG}: {error}", file=sys.stderr)
            status = _USER_MISTAKE
    sys.exit(status)


def serve_embedded(given: Mapping[str, Any]) -> int:
    """Serves until a signal ends the process, or returns the exit status of a server that could not start.

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
    try:
        with without_keras():
            from charflow.serving.settings.configs import check_configs
        check_configs(flags)
        check_listening(flags.host, flags.port, flags.rest_api_port, flags.grpc_socket_path)
        if is_shut_in(flags.host):
            print(
                f"It listens on {flags.host} only, which nothing outside this container reaches: "
                "give --host=0.0.0.0 for every address.",
                file=sys.stderr,
            )
        with _ended_by_signals():
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            with quiet_unless_it_fails(), without_keras():
                from charflow.serving.embedded.server import serve
            return serve(flags, announce=print_ready)
    except UsageError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        return _FAILED


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Lets SIGTERM and SIGINT end the process while nothing is served.

    As process 1 of a container, a signal without a handler would be lost.
    """

    def end(number: int, _: FrameType | None) -> None:
        os._exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is end:  # the server has put its own there meanwhile
                signal.signal(number, handler)
