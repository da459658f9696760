"""Starts a model server to be measured, and stops it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from charflow.pipeline.errors import UserError
from charflow.serving.ready import Doors

NAME = "m"  # of the model
EMBEDDED = "charflow"
TENSORFLOW_SERVING = "TensorFlow Serving"
_HOST = "127.0.0.1"
_PATIENCE = 120.0  # seconds until it must be ready
_LOOK = 0.02  # seconds between two looks


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server that answers.

    Attributes:
        grpc: host and port.
        rest: likewise.
        seconds: from its start until the model was available.
        pid: its process.
    """

    grpc: str
    rest: str
    seconds: float
    pid: int


def programs() -> dict[str, list[str]]:
    """The servers that there are here: charflow's, and TensorFlow Serving where it is installed."""
    found = {EMBEDDED: [sys.executable, "-c", "from charflow.serving.launch.model_server import main; main()"]}
    binary = shutil.which(os.environ.get("TENSORFLOW_MODEL_SERVER", "tensorflow_model_server"))
    return {**found, TENSORFLOW_SERVING: [binary]} if binary else found


@contextmanager
def running(program: Sequence[str], base: Path, *flags: str) -> Iterator[RunningServer]:
    """Serves the newest version of a model until the block ends.

    Raises:
        UserError: it ended, or was not ready in time; the sentence has the last line it wrote.
    """
    port, rest = _free_port(), _free_port()
    doors = Doors(host=_HOST, port=port, rest_api_port=rest, models=[NAME])
    command = [
        *program,
        f"--model_name={NAME}",
        f"--model_base_path={base}",
        f"--port={port}",
        f"--rest_api_port={rest}",
        *flags,
    ]
    with tempfile.TemporaryFile("w+") as said:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        try:
            while not doors.are_open():
                if process.poll() is not None or time.monotonic() > began + _PATIENCE:
                    said.seek(0)
                    raise UserError(f"The server did not start: {(said.read().splitlines() or ['no word'])[-1]}")
                time.sleep(_LOOK)
            seconds = time.monotonic() - began
            yield RunningServer(grpc=f"{_HOST}:{port}", rest=f"{_HOST}:{rest}", seconds=seconds, pid=process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((_HOST, 0))
        return int(taken.getsockname()[1])
