"""Joins concurrent requests into batches, and gives each of them its rows of the answer.

`loading` puts it in front of a servable when batching is on. `batch_scheduler` decides who shares a batch and waits;
here a batch is padded to an allowed size and run, and a task whose time ran out in the queue leaves it before.

A request is judged by itself: what cannot be joined runs beside the batch, and a batch that fails is run again in
halves until the requests that fail stand alone. One bad request so costs its batch about twice its rows; it cannot
cost the others their answers.
"""

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from charflow.serving.embedded.core.batch_scheduler import BatchScheduler, Piece, Task
from charflow.serving.embedded.core.batching_settings import BatchingSettings
from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.servable import Runner
from charflow.serving.errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ServingError,
)

_MOST_PADDED = 4  # times the values of the requests that a joined tensor may have; below the next, any
_SMALL = 2**20  # values

OnBatch = Callable[[int, int, float], None]  # rows of requests, rows of padding, seconds the first one waited


class BatchedRunner:
    """Runs declared sets of inputs and outputs in batches; others, such as filtered outputs, go straight through."""

    def __init__(
        self,
        runner: Runner,
        queues: Sequence[tuple[Sequence[str], Sequence[str]]],
        settings: BatchingSettings,
        on_batch: OnBatch = lambda rows, padding, waited: None,
    ) -> None:
        """Builds a queue for each set of (inputs, outputs), by tensor names."""
        self._runner, self._settings, self._on_batch = runner, settings, on_batch
        self._sets = [(sorted(set(inputs)), sorted(set(outputs))) for inputs, outputs in queues]
        self._numbers = {(frozenset(ins), frozenset(outs)): number for number, (ins, outs) in enumerate(self._sets)}
        self._scheduler = BatchScheduler(settings, len(self._sets), self._run_batch)

    def run(
        self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *, deadline: Deadline = NEVER
    ) -> list[np.ndarray]:
        """Runs a request within its batch.

        Raises:
            InvalidArgument: a scalar, unequal dimensions 0, or more rows than a batch may have.
            Unavailable: the queue is full.
            ServingError: what the batch raised.
        """
        number = self._numbers.get((frozenset(feeds), frozenset(fetches)))
        if number is None:
            return self._runner.run(feeds, fetches, deadline=deadline)
        inputs, outputs = self._sets[number]
        task = Task([feeds[name] for name in inputs], _count_rows(feeds), deadline)
        # However long it takes: a step that its time cancelled would take its whole batch with it.
        self._scheduler.run(number, task)
        if task.error:
            raise task.error
        parts = [arrays for _, arrays in sorted(task.parts, key=lambda part: part[0])]
        joined = parts[0] if len(parts) == 1 else [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        by_name = dict(zip(outputs, joined, strict=True))
        return [by_name[name] for name in fetches]

    def close(self) -> None:
        """Ends the scheduler's threads."""
        self._scheduler.close()

    def _run_batch(self, number: int, batch: list[Piece]) -> None:
        for pieces in self._alike(batch):
            self._run_pieces(*self._sets[number], pieces)

    def _run_pieces(self, inputs: list[str], outputs: list[str], pieces: list[Piece]) -> None:
        for task, _, _ in pieces:
            if task.deadline.left() <= 0:
                task.error = DeadlineExceeded("Run() timeout exceeded while waiting in batching queue")
        live = [piece for piece in pieces if not piece[0].error]
        if not live:
            return
        try:
            fetched = self._run_joined(inputs, outputs, live)
        except Exception as error:
            failure = error if isinstance(error, ServingError) else Internal(f"{type(error).__name__}: {error}")
            if len(live) > 1 and not isinstance(failure, (DeadlineExceeded, Cancelled)):
                middle = len(live) // 2
                self._run_pieces(inputs, outputs, live[:middle])
                self._run_pieces(inputs, outputs, live[middle:])
                return
            for task, _, _ in live:
                task.error = failure
            return
        first = 0
        for task, start, stop in live:
            last = first + stop - start
            task.parts.append((start, [array[first:last] for array in fetched]))
            first = last

    def _run_joined(self, inputs: list[str], outputs: list[str], live: list[Piece]) -> list[np.ndarray]:
        rows = sum(stop - start for _, start, stop in live)
        allowed = self._settings.allowed_batch_sizes
        padding = next((size for size in allowed if size >= rows), rows) - rows
        self._on_batch(rows, padding, time.monotonic() - min(task.enqueued for task, _, _ in live))
        feeds = {
            name: _join([task.feeds[index][start:stop] for task, start, stop in live], padding)
            for index, name in enumerate(inputs)
        }
        fetched = self._runner.run(feeds, outputs, deadline=max(task.deadline for task, _, _ in live))
        for array in fetched:
            if array.ndim == 0 or len(array) != rows + padding:
                raise FailedPrecondition(
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of "
                    f"the input tensors: {list(array.shape)} for {rows + padding} rows"
                )
        return fetched

    def _alike(self, pieces: list[Piece]) -> list[list[Piece]]:
        """Parts the pieces of a batch into those that can be joined: by shape, with padding by rank and excess."""
        padded = self._settings.pad_variable_length_inputs
        groups: dict[Hashable, list[Piece]] = {}
        for task, start, stop in pieces:
            if padded:
                kind: Hashable = tuple([(feed.ndim, feed.size == 0) for feed in task.feeds])
            else:
                kind = tuple([feed.shape[1:] for feed in task.feeds])
            groups.setdefault(kind, []).append((task, start, stop))
        return [part for group in groups.values() for part in (_without_excess(group) if padded else [group])]


def _without_excess(group: list[Piece]) -> list[list[Piece]]:
    """Leaves a group together unless padding would make far more values of it than the requests have."""
    for shapes in zip(*([feed.shape for feed in task.feeds] for task, _, _ in group), strict=True):
        rows = sum(stop - start for _, start, stop in group)
        padded = rows * math.prod(max(sizes) for sizes in zip(*(shape[1:] for shape in shapes), strict=True))
        own = sum((stop - start) * math.prod(shape[1:]) for (_, start, stop), shape in zip(group, shapes, strict=True))
        if padded > max(_SMALL, _MOST_PADDED * own):
            return [[piece] for piece in group]
    return [group]


def _join(parts: list[np.ndarray], padding: int) -> np.ndarray:
    if len({part.shape[1:] for part in parts}) > 1:
        parts = _pad_dimensions(parts)
    if padding:
        parts = [*parts, np.repeat(parts[-1][:1], padding, axis=0)]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _pad_dimensions(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Pads each part to the largest of every dimension but the first, with its own first value."""
    largest = np.max([part.shape[1:] for part in parts], axis=0)
    return [
        np.pad(
            part,
            [(0, 0), *((0, size - own) for size, own in zip(largest, part.shape[1:], strict=True))],
            constant_values=part.flat[0],
        )
        for part in parts
    ]


def _count_rows(feeds: Mapping[str, np.ndarray]) -> int:
    sizes = set()
    for name, array in feeds.items():
        if array.ndim == 0:
            raise InvalidArgument(f"Batching session Run() input tensors must have at least one dimension: {name}")
        sizes.add(len(array))
    if len(sizes) > 1:
        raise InvalidArgument("Batching session Run() input tensors must have equal 0th-dimension size")
    if not sizes or sizes == {0}:
        raise InvalidArgument("Batching session Run() input tensors must have at least one row")
    return sizes.pop()
