"""Runs the workers of a cluster on this machine to their common end.

`cluster` says what each is told; this module starts them together, hands on what they write, and ends them together:
when one has failed, the others cannot go on without it. Nothing here loads TensorFlow.
"""

import math
import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from charflow.model.distributed.cluster import CHIEF
from charflow.model.distributed.stop_signals import StopSignals
from charflow.model.distributed.worker_process import WorkerProcess

GRACE = 10.0  # seconds, by default, that workers have to end in
_LATE = 0.2  # seconds for the last output of workers that have ended, should a process of theirs keep it open
_TICK = 1.0  # seconds after which the size of the terminal is looked at again
_SOON = 0.02  # seconds between two looks at workers that are being killed
_CAUSE = 3.0  # seconds for a failing worker to end, after a peer that missed it: unloading TensorFlow takes about one


class OutputListener(Protocol):
    """Who is told what the workers write."""

    def wrote(self, worker: int, stream: str, chunk: bytes) -> None:
        """Takes a piece of a worker's stream "out" or "err"; b"" at its end."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a group ended.

    Attributes:
        status: 0 if every worker ended with it; else that of the first that did not, 128 + n if signal n ended it.
        worker: that first one, or the one whose loss it ended for; None if all went well.
        killed_by: the signal's name, if one ended it.
        chief_done: the chief had ended with 0: the run is complete.
    """

    status: int
    worker: int | None = None
    killed_by: str | None = None
    chief_done: bool = False


def run_workers(
    command: Sequence[str],
    environments: Sequence[Mapping[str, str]],
    *,
    grace: float,
    listener: OutputListener,
    signals: StopSignals,
    peer_lost: int | None = None,
    terminal_size: Callable[[], os.terminal_size] | None = None,
) -> Ending:
    """Runs one process per environment until all have ended; none is left running, whatever happens.

    When the first ends with another status than 0, the others get SIGTERM, and after the grace they are killed.

    Args:
        command: program and arguments of every worker.
        environments: what differs.
        grace: seconds that the others have to end in, once one has failed or obeyed a signal.
        listener: told what they write.
        signals: entered by the caller; passed on to them.
        peer_lost: status of a worker that ends because it missed another, which may take longer to end than this one.
        terminal_size: if given, the chief's standard error is a terminal of this size.
    """
    group = _Group(grace, listener, signals, peer_lost)
    try:
        for index, environ in enumerate(environments):
            group.start(WorkerProcess(index, command, environ, terminal_size if index == CHIEF else None))
        return group.watch()
    finally:
        group.clear()


class _Group:
    def __init__(self, grace: float, listener: OutputListener, signals: StopSignals, peer_lost: int | None) -> None:
        self._grace, self._listener, self._signals, self._peer_lost = grace, listener, signals, peer_lost
        self._workers: list[WorkerProcess] = []
        self._ended: list[WorkerProcess] = []
        self._failed: WorkerProcess | None = None
        self._found = self._told = False  # who failed first is certain; the others know
        self._failed_at = math.inf
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals.wakeup, selectors.EVENT_READ)

    def start(self, worker: WorkerProcess) -> None:
        self._workers.append(worker)
        for stream in worker.streams:
            self._selector.register(stream, selectors.EVENT_READ, worker)
        self._signals.pass_on_to(self._workers)

    def watch(self) -> Ending:
        while len(self._ended) < len(self._workers):
            self._hand_on(max(_SOON, min(_TICK, *self._seconds_left())))
            self._look_who_ended()
            cause, grace = self._seconds_left()
            self._found |= min(cause, grace) <= 0
            if self._found and not self._told:
                self._tell_the_others()
            if grace <= 0:
                self._kill()
            for worker in self._workers:
                worker.fit_terminal()
        while any(worker.streams for worker in self._workers) and self._hand_on(_LATE):
            pass
        return self._ending()

    def clear(self) -> None:
        """Leaves no process and no open stream, even if watching was cut short."""
        self._kill()
        for worker in self._workers:
            worker.wait()
            worker.close()
        self._signals.pass_on_to([])
        self._selector.close()

    def _hand_on(self, seconds: float) -> bool:
        """Waits for output or a signal at most so long; says whether there was output."""
        ready = [key for key, _ in self._selector.select(seconds)]
        for key in ready:
            if key.data is None:
                self._signals.rest()
                continue
            worker: WorkerProcess = key.data
            name = worker.streams[key.fd]
            chunk = worker.read(key.fd)
            if not chunk:
                self._selector.unregister(key.fileobj)
            self._listener.wrote(worker.index, name, chunk)
        return any(key.data is not None for key in ready)

    def _look_who_ended(self) -> None:
        ended = [worker for worker in self._workers if worker not in self._ended and worker.status is not None]
        # Of two found at once, the one that a signal struck down is the cause, not the one that missed it.
        for worker in sorted(ended, key=lambda worker: worker.killed_by is None):
            self._ended.append(worker)
            if worker.status and not self._found:
                self._failed_at = min(self._failed_at, time.monotonic())
                self._found = worker.status != self._peer_lost
                self._failed = worker if self._found or self._failed is None else self._failed

    def _seconds_left(self) -> tuple[float, float]:
        """Until a failure's cause is no longer waited for, and until the grace is over."""
        passed = time.monotonic() - self._failed_at
        return (math.inf if self._found else max(0.0, _CAUSE - passed), max(0.0, self._grace - passed))

    def _tell_the_others(self) -> None:
        self._told = True
        if not self._signals.asked:  # or they know already
            for worker in self._workers:
                worker.tell(signal.SIGTERM)

    def _kill(self) -> None:
        for worker in self._workers:
            worker.kill()

    def _ending(self) -> Ending:
        if self._failed is None:
            return Ending(status=0, chief_done=True)
        status = 128 + signal.SIGINT if self._signals.insisted else self._failed.status
        assert status is not None
        chief = self._workers[CHIEF]
        return Ending(
            status=status,
            worker=self._failed.index,
            killed_by=self._failed.killed_by,
            chief_done=chief.status == 0 and self._ended.index(chief) < self._ended.index(self._failed),
        )
