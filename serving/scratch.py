"""A file for a moment: what TensorFlow says while it is loaded, a private key on its way into the ssl module.

In memory where the system can (Linux), so that a server runs on a read-only root file system and keys reach no disk.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def scratch_file() -> Iterator[IO[bytes]]:
    """Opens a file that only this user can read, and that is gone after the block; its `name` opens it once more."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:
            yield file
        return
    descriptor = os.memfd_create("charflow")
    try:
        with Path(f"/proc/self/fd/{descriptor}").open("w+b") as file:
            yield file
    finally:
        os.close(descriptor)


@contextmanager
def quiet_unless_it_fails() -> Iterator[None]:
    """Keeps back what native code writes to file descriptor 2 during a block, and shows it only if the block fails."""
    _name_temporary_folder()
    sys.stderr.flush()
    stderr = os.dup(2)
    with scratch_file() as chatter:
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


def _name_temporary_folder() -> None:
    """Names a folder where none can be written to: TensorFlow's import (absl.testing) asks for a name, no more."""
    try:
        tempfile.gettempdir()
    except OSError:
        tempfile.tempdir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
