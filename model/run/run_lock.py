"""A run folder is one process's while it writes: a lock in a file there, which names that process.

The system takes the lock back when the process ends, however it ends. `fcntl` and not a library of locks, which empty
the file on opening it: who holds the folder could not be read any more.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from charflow.pipeline.errors import UserError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder where it is missing, and keeps it for this process.

    Raises:
        UserError: another process holds it.
    """
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _in_use(folder, file.read().strip()) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            # The file stays, or a process that already opened it would lock what nobody else sees any more.
            if created and [child.name for child in folder.iterdir()] == [LOCK]:
                lock.unlink()
                folder.rmdir()


def check_not_in_use(folder: Path) -> None:
    """Raises UserError where another process holds the folder."""
    lock = folder / LOCK
    if not lock.exists():
        return
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if (owner := file.read().strip()) != str(os.getpid()):
                raise _in_use(folder, owner) from None


def _in_use(folder: Path, owner: str) -> UserError:
    return UserError(f"{folder} is in use by process {owner or 'unknown'}: wait, or name another folder.")
