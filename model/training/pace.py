"""The clock of a session: how long a run has trained, and how fast it goes.

`trainer` starts it; `timetable`, which looks at no clock, is told what it says.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Pace:
    """Runs from when it is made.

    Args:
        step: steps done in earlier sessions.
        elapsed: seconds that these took.

    Attributes:
        rate: steps a second, evaluations not counted; 0 while unknown.
        call_seconds: that the last call of the graph took.
    """

    def __init__(self, step: int, elapsed: float) -> None:
        self._first, self._began = step, time.monotonic() - elapsed
        self._saved_at, self._seconds = time.monotonic(), 0.0
        self.rate = self.call_seconds = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds of training, in all sessions."""
        return time.monotonic() - self._began

    @property
    def unsaved(self) -> float:
        """Seconds since the last save, or since the session began."""
        return time.monotonic() - self._saved_at

    @contextmanager
    def call(self, step: int, size: int) -> Iterator[None]:
        """Takes the time of a call of the graph.

        Args:
            step: steps done before.
            size: steps in it.
        """
        started = time.monotonic()
        yield
        self.call_seconds = time.monotonic() - started
        if step > self._first:  # the first call traces and compiles the graph: it says nothing about the pace
            self._seconds += self.call_seconds
            self.rate = (step + size - self._first - 1) / self._seconds

    def saved(self) -> None:
        """Notes that the run was saved just now."""
        self._saved_at = time.monotonic()
