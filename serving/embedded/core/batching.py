"""Joins concurrent requests into batches with TensorFlow's own batching scheduler.

`models` puts it in front of a servable when batching is on. The scheduler is the one inside the `BatchFunction` op: it
decides who shares a batch, waits, pads the batch to an allowed size, and refuses what its queue cannot hold. What
travels through it are not tensors but places of rows, [n, 2] of (task, row), so that tensors are joined once, errors
keep their code, and a task whose time ran out in the queue leaves its batch before the model runs.

A request is judged by itself: what cannot be joined runs beside the batch, and a batch that fails is run again in
halves until the requests that fail stand alone. One bad request so costs its batch about twice its rows; it cannot
cost the others their answers.
"""

import itertools
import math
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from charflow.serving.embedded.core.batching_settings import BatchingSettings
from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.graph_session import GraphSession, Output, add_batch_function, output_of
from charflow.serving.embedded.core.servable import Runner, from_tensorflow
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


@dataclass(eq=False)
class _Task:
    """A request in a queue."""

    feeds: list[np.ndarray]
    deadline: Deadline
    enqueued: float
    parts: list[tuple[int, list[np.ndarray]]] = field(default_factory=list)  # (first row, outputs of these rows)
    error: ServingError | None = None


_Piece = tuple[_Task, int, int]  # rows of a task that share a batch: the first, and past the last


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
        self._tasks: dict[int, _Task] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        graph = tf.Graph()
        with graph.as_default():
            places = tf.compat.v1.placeholder(tf.int64, [None, 2])
            self._places = output_of(places)
            self._queues = {
                (frozenset(inputs), frozenset(outputs)): (
                    sorted(set(inputs)),
                    sorted(set(outputs)),
                    output_of(self._add_queue(places, sorted(set(inputs)), sorted(set(outputs)))),
                )
                for inputs, outputs in queues
            }
        # Threads of its own: a batch waits for the model's step, which needs threads of the common pool.
        config = config_pb2.ConfigProto(
            use_per_session_threads=True, inter_op_parallelism_threads=settings.num_batch_threads + 1
        )
        self._session = GraphSession(graph, config)
        self._session.extend()

    def run(
        self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *, deadline: Deadline = NEVER
    ) -> list[np.ndarray]:
        """Runs a request within its batch.

        Raises:
            InvalidArgument: a scalar, unequal dimensions 0, or more rows than a batch may have.
            Unavailable: the queue is full.
            ServingError: what the batch raised.
        """
        found = self._queues.get((frozenset(feeds), frozenset(fetches)))
        if found is None:
            return self._runner.run(feeds, fetches, deadline=deadline)
        inputs, outputs, queue = found
        rows = _count_rows(feeds)
        task = _Task([feeds[name] for name in inputs], deadline, time.monotonic())
        number = next(self._numbers)
        with self._lock:
            self._tasks[number] = task
        try:
            self._enqueue(queue, number, rows)
        finally:
            with self._lock:
                del self._tasks[number]
        if task.error:
            raise task.error
        parts = [arrays for _, arrays in sorted(task.parts, key=lambda part: part[0])]
        joined = parts[0] if len(parts) == 1 else [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        by_name = dict(zip(outputs, joined, strict=True))
        return [by_name[name] for name in fetches]

    def close(self) -> None:
        """Ends the scheduler's threads."""
        self._session.close()

    def _enqueue(self, queue: Output, number: int, rows: int) -> None:
        """Waits for the batch, however long: a step that its time cancelled would take its whole batch with it."""
        places = np.stack([np.full(rows, number, np.int64), np.arange(rows, dtype=np.int64)], axis=1)  # [n, 2]
        try:
            self._session.run({self._places: places}, [queue])
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error

    def _add_queue(self, places: tf.Tensor, inputs: list[str], outputs: list[str]) -> tf.Tensor:
        settings = self._settings

        def run_batch(batch: np.ndarray) -> np.ndarray:
            self._run_batch(inputs, outputs, batch)
            return batch

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.int64)], autograph=False)
        def batched(batch: tf.Tensor) -> tf.Tensor:
            return tf.numpy_function(run_batch, [batch], tf.int64)

        sizes, largest = list(settings.allowed_batch_sizes), settings.max_execution_batch_size
        return add_batch_function(
            batched.get_concrete_function(),
            [places],
            Tout=[tf.int64],
            num_batch_threads=settings.num_batch_threads,
            max_batch_size=settings.max_batch_size,
            batch_timeout_micros=settings.batch_timeout_micros,
            max_enqueued_batches=settings.max_enqueued_batches,
            # The op reads the size of a split batch off the last allowed one; its padding is taken off again.
            allowed_batch_sizes=sizes or ([largest] if largest else []),
            enable_large_batch_splitting=bool(largest),
            shared_name="scheduler",
            batching_queue=f"{inputs}->{outputs}",
        )[0]

    def _run_batch(self, inputs: list[str], outputs: list[str], batch: np.ndarray) -> None:
        for pieces in self._alike(self._pieces(batch)):
            self._run_pieces(inputs, outputs, pieces)

    def _run_pieces(self, inputs: list[str], outputs: list[str], pieces: list[_Piece]) -> None:
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

    def _run_joined(self, inputs: list[str], outputs: list[str], live: list[_Piece]) -> list[np.ndarray]:
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

    def _alike(self, pieces: list[_Piece]) -> list[list[_Piece]]:
        """Parts the pieces of a batch into those that can be joined: by shape, with padding by rank and excess."""
        groups: dict[Hashable, list[_Piece]] = {}
        for task, start, stop in pieces:
            if self._settings.pad_variable_length_inputs:
                kind: Hashable = tuple((feed.ndim, feed.size == 0) for feed in task.feeds)
            else:
                kind = tuple(feed.shape[1:] for feed in task.feeds)
            groups.setdefault(kind, []).append((task, start, stop))
        return [part for group in groups.values() for part in _without_excess(group)]

    def _pieces(self, batch: np.ndarray) -> list[_Piece]:
        """Finds (task, first row, past its last) in the places of a batch; rows seen before are padding."""
        spans: dict[int, tuple[int, int]] = {}  # a task has one span in a batch
        for number, row in batch.tolist():
            start, stop = spans.get(number, (row, row))
            if row == stop:
                spans[number] = (start, row + 1)
        with self._lock:
            return [
                (self._tasks[number], start, stop) for number, (start, stop) in spans.items() if number in self._tasks
            ]


def _without_excess(group: list[_Piece]) -> list[list[_Piece]]:
    """Leaves a group together unless padding would make far more values of it than the requests have."""
    for shapes in zip(*([feed.shape for feed in task.feeds] for task, _, _ in group), strict=True):
        rows = sum(stop - start for _, start, stop in group)
        padded = rows * math.prod(max(sizes) for sizes in zip(*(shape[1:] for shape in shapes), strict=True))
        own = sum((stop - start) * math.prod(shape[1:]) for (_, start, stop), shape in zip(group, shapes, strict=True))
        if padded > max(_SMALL, _MOST_PADDED * own):
            return [[piece] for piece in group]
    return [group]


def _join(parts: list[np.ndarray], padding: int) -> np.ndarray:
    if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
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
