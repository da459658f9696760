"""Exit statuses of the command, and how an interruption reaches it in good order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

USER_MISTAKE = 2
INTERRUPTED = 128 + signal.SIGINT
PREEMPTED = 128 + signal.SIGTERM
PEER_LOST = 129  # from 128 on, so that what restarts a preempted worker restarts this one too


class Interrupted(Exception):  # noqa: N818  # it is no error
    """A signal was obeyed in good order; the message says what was saved, and the status which signal it was."""

    def __init__(self, message: str, *, status: int = INTERRUPTED) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], None]]:
    """Keeps Ctrl-C from striking inside TensorFlow, where Python may swallow it.

    Gives a function that raises KeyboardInterrupt if Ctrl-C was pressed; call it between two pieces of work.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    pressed = threading.Event()

    def check() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
