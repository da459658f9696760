"""Keeps a message that anybody outside can cause from filling the disk with itself.

`server` puts it on the log: of warnings and errors that say the same, a few a minute are written, and how many were
left out.
"""

import logging
import threading
import time

_MOST = 5  # of one text in a period
_PERIOD = 60.0  # seconds
_TEXTS = 1000  # that are remembered; beyond, all begin anew


class LogLimit(logging.Filter):
    """Lets the first few records of one text through in each period."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}  # when its period began, and how many came

    def filter(self, record: logging.LogRecord) -> bool:
        """Tells whether a record is written; the first of a new period says how many the last one left out."""
        if record.levelno < logging.WARNING:
            return True
        text, now = record.getMessage(), time.monotonic()
        with self._lock:
            if len(self._seen) > _TEXTS:
                self._seen.clear()
            begun, count = self._seen.get((record.name, text), (now, 0))
            if now - begun >= _PERIOD:
                left_out, begun, count = max(0, count - _MOST), now, 0
                if left_out:
                    record.msg, record.args = f"{text} (and {left_out} times more)", ()
            self._seen[record.name, text] = begun, count + 1
        return count < _MOST
