"""Shows that a command is at work, where nothing else moves on the screen.

The commands put it around what can take longer than people like to look at nothing: reading a chat, loading TensorFlow,
measuring a text. What has a progress bar of its own needs none.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from charflow.cli.terminal import console

_SILENT_SECONDS = 2.0  # what takes no longer is not worth a line


@contextmanager
def waiting(doing: str) -> Iterator[None]:
    """Shows on a terminal, from the third second on, what is being done and for how long.

    >>> with waiting("reading"):
    ...     pass
    """
    progress = console.err.spinner(doing)
    timer = threading.Timer(_SILENT_SECONDS, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if progress.live.is_started:
            progress.stop()
