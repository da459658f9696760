"""Shows what the workers of `charflow launch` write: every line marked with its worker, one progress bar.

`model.distributed.worker_group` hands over the pieces; `live_row` keeps the chief's bar in one piece on a terminal.
"""

import codecs
import os
import sys
from collections import defaultdict

from charflow.cli.terminal import console
from charflow.cli.terminal.console import Screen, wrapped
from charflow.cli.terminal.live_row import LiveRow
from charflow.cli.terminal.runtime_log import RuntimeLog
from charflow.model.distributed.cluster import CHIEF
from charflow.pipeline.errors import visible


class WorkerOutput:
    """Writes the workers' lines to this process's own streams, behind `[worker] `.

    Args:
        figures: the chief's standard output is data: it is kept, and printed by `print_figures`, unmarked; whatever the
            others print goes to standard error.
    """

    def __init__(self, *, figures: bool) -> None:
        self._figures = figures
        self._kept = bytearray()
        self._logs: dict[int, RuntimeLog] = defaultdict(RuntimeLog)
        self._lines: dict[tuple[int, str], _Lines] = defaultdict(_Lines)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._live = LiveRow(_mark(CHIEF)) if console.err.is_terminal else None
        self.terminal_size = _size_behind_the_mark if self._live else None

    def wrote(self, worker: int, stream: str, chunk: bytes) -> None:
        """Shows a piece of a worker's stream "out" or "err"; b"" is its end."""
        if worker == CHIEF and stream == "out" and self._figures:
            self._kept += chunk
        elif worker == CHIEF and stream == "err" and self._live:
            text = self._logs[worker].without(self._decode(chunk), final=not chunk)
            console.err.write(self._live.drawn(text) + ("" if chunk else self._live.ended()))
        else:
            target = console.err if stream == "err" or self._figures else console.out
            log = self._logs[worker] if stream == "err" else None
            for line in self._lines[worker, stream].completed_by(chunk, log):
                self._print(target, _mark(worker) + line)

    def say(self, message: str) -> None:
        """Prints a line of our own on standard error."""
        self._print(console.err, f"charflow: {message}")

    def say_why(self, worker: int) -> None:
        """Shows what TensorFlow's runtime logged last in a worker that failed."""
        for line in self._logs[worker].take():
            self._print(console.err, _mark(worker) + line)

    def forget_figures(self) -> None:
        """Drops what the chief printed: it is about to run again."""
        self._kept.clear()

    def print_figures(self) -> None:
        """Prints what the chief printed, if that is data."""
        console.out.write(self._kept.decode(errors="replace"))

    def _print(self, target: Screen, line: str) -> None:
        if self._live and target.is_terminal:
            target.write(self._live.above(wrapped(visible(line), target.width)))
        else:
            target.print(line)


class _Lines:
    """Puts a stream's lines together from its pieces."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def completed_by(self, chunk: bytes, log: RuntimeLog | None) -> list[str]:
        text = self._decode(chunk, final=not chunk)
        *lines, self._rest = (self._rest + (log.without(text, final=not chunk) if log else text)).split("\n")
        if not chunk and self._rest:
            lines, self._rest = [*lines, self._rest], ""
        return lines


def _mark(worker: int) -> str:
    return f"[{worker}] "


def _size_behind_the_mark() -> os.terminal_size:
    columns, rows = os.get_terminal_size(sys.stderr.fileno())
    mark = len(_mark(CHIEF))
    return os.terminal_size((columns - mark if columns > mark else columns, rows))  # 0 is unknown
