"""Calls that take a while, beside a test that does something to their server meanwhile."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100  # user and system time, in jiffies


def wait_busy(server: ServerProcess) -> None:
    """Waits until a slow call really runs: the slow model turns round and round."""
    before = cpu_seconds(server.pid)
    until(lambda: cpu_seconds(server.pid) > before + 0.3, "the call runs")
