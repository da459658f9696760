"""Exit statuses of the command, and how an interruption reaches it in good order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

USER_MISTAKE = 2
INTERRUPTED = 128 + signal.SIGINT


class Interrupted(Exception):  # noqa: N818  # it is no error
    """Ctrl-C was obeyed in good order; the message says what was saved."""


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
