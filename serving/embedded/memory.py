"""Gives memory that loading the models or a large request took back to the system.

`server` starts it, once its models are loaded. glibc keeps what was freed in the arena of each thread for ever, unless
it is told to trim them.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path

_PERIOD = 2.0  # seconds
_GROWTH = 64 * 2**20  # bytes since the last time that make it worth while: trimming takes some milliseconds
_STATM = Path("/proc/self/statm")


def trim_memory(ending: threading.Event) -> threading.Thread | None:
    """Starts a thread that trims at once, and on growth until `ending` is set; None where the C library cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None or not _STATM.exists():
        return None
    thread = threading.Thread(target=_keep_trimming, args=(trim, ending), name="trim", daemon=True)
    thread.start()
    return thread


def _keep_trimming(trim: Callable[[int], int], ending: threading.Event) -> None:
    trim(0)  # of what loading the models and warming them up took, 28 MB were freed with one of 256 units
    last = _resident()
    while not ending.wait(_PERIOD):
        if _resident() > last + _GROWTH:
            trim(0)
            last = _resident()
        last = min(last, _resident())


def _resident() -> int:
    """Bytes of memory that the process has now."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
