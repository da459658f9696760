"""The UNIX socket of gRPC, which a later server may take over while an earlier one still runs.

gRPC removes what is at the path before it listens, and again when it stops, whosever socket is there by then:
`grpc.server` says the first, and here the second is kept from happening.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from charflow.serving.listening import is_answered

_PATIENCE = 2.0  # seconds for gRPC to remove the path
_logger = logging.getLogger(__name__)


class UnixSocket:
    """A path that one server listens on."""

    def __init__(self, path: str) -> None:
        """Says so where a living server has it, before it is taken over."""
        self._path = Path(path)
        self._own: int | None = None
        if is_answered(path):
            _logger.warning("Another server answers on %s: it is taken over, and new calls come here from now on", path)

    def listening(self) -> None:
        """Remembers the socket that gRPC made."""
        self._own = self._path.stat().st_ino

    @contextmanager
    def spared(self) -> Iterator[None]:
        """Keeps another server's socket where it is while this one stops."""
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            foreign = self._own is not None and self._path.stat().st_ino != self._own
            if foreign:
                beside.hardlink_to(self._path)
        except OSError:
            foreign = False
        yield
        if foreign:
            end = time.monotonic() + _PATIENCE
            while self._path.exists() and time.monotonic() < end:
                time.sleep(0.01)
            with suppress(OSError):
                if self._path.exists():
                    beside.unlink()
                else:
                    beside.rename(self._path)
