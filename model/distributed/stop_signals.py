"""SIGINT and SIGTERM while workers run: each is passed on to all of them, once.

Part of charflow.model; `worker_group` waits on it as on the workers' output.
"""

import os
import signal
from types import FrameType

from charflow.model.distributed.worker_process import WorkerProcess

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """A context in which these signals do not strike here but are passed on.

    Attributes:
        asked: the signals so far, each once, in order.
        insisted: SIGINT came when a stop had been asked for already: the workers were killed.
        wakeup: file descriptor that has something to read when a signal came, SIGCHLD too.
    """

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.insisted = False
        self._workers: list[WorkerProcess] = []

    def __enter__(self) -> "StopSignals":
        self.wakeup, self._woken = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(self._woken, False)
        self._wakeup_before = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._stop) for number in _STOPPING}
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self.wakeup)
        os.close(self._woken)

    def pass_on_to(self, workers: list[WorkerProcess]) -> None:
        """Names who is to get the signals from now on: these get those of before, too."""
        self._workers = workers
        for worker in workers:
            for number in self.asked:
                worker.tell(number)
            if self.insisted:
                worker.kill()

    def rest(self) -> None:
        """Empties `wakeup`, to wait for the next signal."""
        try:
            os.read(self.wakeup, 4096)
        except BlockingIOError:
            return

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.insisted |= bool(self.asked) and number == signal.SIGINT
        if number not in self.asked:
            self.asked.append(number)
        self.pass_on_to(self._workers)
