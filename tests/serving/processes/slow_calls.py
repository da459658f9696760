"""Calls that take a while, beside a test that does something to their server meanwhile."""

import threading
from collections.abc import Callable
from typing import Any

from charflow.benchmarks.machine import processor_seconds
from tests.serving.processes.server_process import ServerProcess, until


class Call(threading.Thread):
    """A call that runs beside the test; `answer` is what came, or the error."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work, self.answer = work, None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._work()
        except Exception as error:
            self.answer = error

    def result(self) -> Any:
        self.join(60)
        assert not self.is_alive()
        return self.answer


def wait_busy(server: ServerProcess) -> None:
    """Waits until a slow call really runs: the slow model turns round and round."""
    before = processor_seconds(server.pid)
    until(lambda: processor_seconds(server.pid) > before + 0.3, "the call runs")
