"""Decides which requests share a batch, and when: TensorFlow Serving's shared batch scheduler, in few lines.

`batching` puts requests in and runs the batches that come out. A queue fills its last batch; a batch is due when it is
full, another stands behind it, or its first request has waited long enough. Threads that all queues share take the
batches that are due, from one queue after the other.

After a batch, its callers come back with their next requests, one after the other. A thread that took the first of them
at once ran many small batches, which cost more a row: so a batch with fewer rows than the last one waits a little for
more, at most as long as the last one took. A request that comes alone finds no such wait.

TensorFlow's own scheduler, in the op `BatchFunction`, looks at its queues once a millisecond, so that a request that is
alone waits for most of one, and each request costs a step of a session (0.2 ms of processor time) besides.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from charflow.serving.embedded.core.batching_settings import BatchingSettings
from charflow.serving.embedded.core.deadline import Deadline
from charflow.serving.errors import Internal, InvalidArgument, ServingError, Unavailable

_MOST_RETURN_SECONDS = 0.04  # that the callers of a batch have to come back, and never more than it took

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Task:
    """A request on its way through a queue.

    Attributes:
        feeds: its inputs, each with `rows` rows.
        rows: how many.
        deadline: of its caller.
        enqueued: since when it waits, by `time.monotonic()`.
        parts: (first row, outputs of the rows from there), in the order in which they were made.
        error: what it is answered instead.
    """

    feeds: list[np.ndarray]
    rows: int
    deadline: Deadline
    enqueued: float = field(default_factory=time.monotonic)
    parts: list[tuple[int, list[np.ndarray]]] = field(default_factory=list)
    error: ServingError | None = None

    def __post_init__(self) -> None:
        self._left = self.rows
        self._done = threading.Lock()  # an Event is four times as slow
        self._done.acquire()

    def ran(self, rows: int) -> bool:
        """Some rows were run, under the scheduler's lock; tells whether they were the last."""
        self._left -= rows
        if not self._left:
            self._done.release()
        return not self._left

    def wait(self) -> None:
        """Waits until all rows were run."""
        self._done.acquire()


Piece = tuple[Task, int, int]  # rows of a task that share a batch: the first, and past the last


@dataclass(eq=False)
class _Batch:
    due: float  # when it runs however small it is, by `time.monotonic()`
    pieces: deque[Piece] = field(default_factory=deque)
    rows: int = 0


class _Queue:
    """Batches in the order they run in; the last one may be filled up."""

    def __init__(self, settings: BatchingSettings) -> None:
        self._settings = settings
        self._batches: deque[_Batch] = deque()
        self._expected, self._until = 0, 0.0  # rows that wait or may come back, and how long a smaller batch waits

    def add(self, task: Task) -> None:
        """Puts a request at the end, in pieces where requests are split."""
        room = self._room()
        if not self._settings.max_execution_batch_size and room < task.rows:
            room = 0  # it does not fit the last batch, and needs one of its own
        batches = -(-(task.rows - room) // self._settings.largest)
        if len(self._batches) + batches > self._settings.max_enqueued_batches:
            raise Unavailable(
                "The batch scheduling queue to which this task was submitted is full: "
                f"{len(self._batches)} of {self._settings.max_enqueued_batches} batches wait"
            )
        start = 0
        while start < task.rows:
            if not room:
                self._batches.append(_Batch(task.enqueued + self._settings.batch_timeout_micros / 1e6))
                room = self._settings.largest
            batch, stop = self._batches[-1], min(task.rows, start + room)
            batch.pieces.append((task, start, stop))
            batch.rows += stop - start
            start, room = stop, 0

    def due(self) -> float:
        """When the first batch runs at the latest; infinite where there is none."""
        if not self._batches:
            return math.inf
        first = self._batches[0]
        if len(self._batches) > 1 or first.rows >= self._settings.largest:
            return 0.0
        return max(first.due, self._until) if first.rows < self._expected else first.due

    def ran(self, rows: int, seconds: float) -> None:
        """A batch was run: its callers may come back."""
        waiting = sum(batch.rows for batch in self._batches)
        self._expected, self._until = waiting + rows, time.monotonic() + min(_MOST_RETURN_SECONDS, seconds)

    def take(self) -> list[Piece]:
        """The first batch."""
        batch = self._batches.popleft()
        self._expected -= batch.rows
        return list(batch.pieces)

    def _room(self) -> int:
        return self._settings.largest - self._batches[-1].rows if self._batches else 0


class BatchScheduler:
    """Queues, and the threads that run their batches.

    Attributes:
        requests: how many wait or run.
    """

    def __init__(self, settings: BatchingSettings, queues: int, run: Callable[[int, list[Piece]], None]) -> None:
        """Starts the threads.

        Args:
            settings: how batches are made.
            queues: how many there are.
            run: runs a batch of a queue, by its number.
        """
        self._settings, self._run = settings, run
        self._queues = [_Queue(settings) for _ in range(queues)]
        self._next = 0  # whose turn it is
        self.requests = self._running = 0
        self._changed = threading.Condition(threading.Lock())
        self._closing = False
        for number in range(settings.num_batch_threads):
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True).start()

    def run(self, queue: int, task: Task) -> None:
        """Puts a request into a queue, and waits until all its rows were run.

        Raises:
            InvalidArgument: it has more rows than a request may have.
            Unavailable: the queue is full.
        """
        if task.rows > self._settings.max_batch_size:
            raise InvalidArgument(
                f"Task size {task.rows} is larger than maximum input batch size {self._settings.max_batch_size}"
            )
        with self._changed:
            self._queues[queue].add(task)
            self.requests += 1
            # Who is alone is served by its own thread: to wake another one and be woken costs 0.2 ms.
            found = self._take() if self.requests == 1 else None
            if found is None:
                self._changed.notify()
        if found is not None:
            self._run_batch(*found)
        task.wait()

    def close(self) -> None:
        """Ends the threads once the queues are empty."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while (found := self._take()) is None:
                    due = self._due()
                    if self._closing and due == math.inf:
                        return
                    in_time = self._running < self._settings.num_batch_threads and due < math.inf
                    self._changed.wait(max(0.0, due - time.monotonic()) if in_time else None)
            self._run_batch(*found)

    def _run_batch(self, queue: int, pieces: list[Piece]) -> None:
        began = time.monotonic()
        try:
            self._run(queue, pieces)
        except Exception as error:
            _logger.exception("A batch failed")
            for task, _, _ in pieces:
                task.error = Internal(f"{type(error).__name__}: {error}")
        with self._changed:
            rows = sum(stop - start for _, start, stop in pieces)
            self._queues[queue].ran(rows, time.monotonic() - began)
            self.requests -= sum(task.ran(stop - start) for task, start, stop in pieces)
            self._running -= 1
            self._changed.notify(self._settings.num_batch_threads if self._closing else 1)

    def _due(self) -> float:
        """When the first batch is due; infinite where there is none."""
        return min((queue.due() for queue in self._queues), default=math.inf)

    def _take(self) -> tuple[int, list[Piece]] | None:
        """The batch that is due, from the queues in turn, unless as many run as may."""
        now = time.monotonic()
        if self._running == self._settings.num_batch_threads or self._due() > now:
            return None
        while self._queues[self._next].due() > now:
            self._next = (self._next + 1) % len(self._queues)
        number, self._next = self._next, (self._next + 1) % len(self._queues)
        self._running += 1
        pieces = self._queues[number].take()
        if self._due() < math.inf:
            self._changed.notify()
        return number, pieces
