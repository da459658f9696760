"""Batches: what they are made of, what each request gets back, and what is refused."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charflow.serving import errors
from charflow.serving.embedded.core.batching import BatchedRunner
from charflow.serving.embedded.core.batching_settings import BatchingSettings
from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.servable import Servable
from charflow.serving.embedded.settings_of import read_batching
from charflow.serving.settings.flags import ServerFlags
from tests.support import ROOT

X_TO_Y = (["x:0"], ["y:0"])


class Doubler:
    """Doubles x into y, notes the batches it sees, and waits at a gate."""

    def __init__(self) -> None:
        self.batches: list[Mapping[str, np.ndarray]] = []
        self.deadlines: list[Deadline] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.failure: Exception | None = None
        self.fetches: list[Sequence[str]] = []
        self.answer: Callable[[np.ndarray], np.ndarray] = lambda x: x * 2

    def run(
        self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *, deadline: Deadline = NEVER
    ) -> list[np.ndarray]:
        self.batches.append(feeds)
        self.deadlines.append(deadline)
        self.fetches.append(list(fetches))
        self.entered.release()
        assert self.gate.wait(20)
        if self.failure:
            raise self.failure
        return [self.answer(next(iter(feeds.values()))) for _ in fetches]

    @property
    def sizes(self) -> list[int]:
        return [len(next(iter(batch.values()))) for batch in self.batches]


@pytest.fixture
def doubler() -> Iterator[Doubler]:
    doubler = Doubler()
    yield doubler
    doubler.gate.set()


@pytest.fixture
def batch(doubler: Doubler) -> Iterator[Callable[..., BatchedRunner]]:
    """Puts batching before the doubler, or another runner."""
    made: list[BatchedRunner] = []

    def batch(*, runner: Any = None, queues: Any = (X_TO_Y,), on_batch: Any = None, **given: Any) -> BatchedRunner:
        options = {"on_batch": on_batch} if on_batch else {}
        made.append(BatchedRunner(runner or doubler, queues, BatchingSettings(**given), **options))
        return made[-1]

    yield batch
    doubler.gate.set()
    for runner in made:
        runner.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def rows(*values: float) -> np.ndarray:
    return np.float32(values).reshape(-1, 1)  # [n, 1]


def ask(runner: BatchedRunner, x: np.ndarray, **options: Any) -> np.ndarray:
    return runner.run({"x:0": x}, ["y:0"], **options)[0]


def fill(runner: BatchedRunner, doubler: Doubler, pool: ThreadPoolExecutor) -> Future[np.ndarray]:
    """Occupies the one thread with a batch that stays at the gate."""
    doubler.gate.clear()
    future = pool.submit(ask, runner, rows(0))
    assert doubler.entered.acquire(timeout=10)
    return future


def waiting(runner: BatchedRunner, count: int) -> None:
    """Waits until so many requests are in the runner."""
    end = time.monotonic() + 10
    while runner._scheduler.requests < count:
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be positive; was 0"),
        ({"max_enqueued_batches": 0}, "max_enqueued_batches must be positive; was 0"),
        ({"num_batch_threads": -1}, "num_batch_threads must be positive; was -1"),
        ({"batch_timeout_micros": -5}, "batch_timeout_micros must be non-negative; was -5"),
        ({"allowed_batch_sizes": (0, 1000)}, "allowed_batch_sizes must be positive and increasing; was [0, 1000]"),
        ({"allowed_batch_sizes": (8, 4)}, "allowed_batch_sizes must be positive and increasing; was [8, 4]"),
        ({"allowed_batch_sizes": (4, 4)}, "allowed_batch_sizes must be positive and increasing; was [4, 4]"),
        (
            {"max_batch_size": 8, "allowed_batch_sizes": (2, 4)},
            "Last entry in allowed_batch_sizes must match max_batch_size; last was 4; expected 8",
        ),
        (
            {"max_batch_size": 8, "max_execution_batch_size": 4, "allowed_batch_sizes": (2, 8)},
            "Last entry in allowed_batch_sizes must match max_batch_size; last was 8; expected 4",
        ),
        (
            {"max_batch_size": 8, "max_execution_batch_size": 16},
            "max_execution_batch_size must be from 1 to max_batch_size, 8; was 16",
        ),
        (
            {"max_batch_size": 8, "max_execution_batch_size": -1},
            "max_execution_batch_size must be from 1 to max_batch_size, 8; was -1",
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_settings_refuse(given: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        BatchingSettings(**given)
    assert caught.value.message == message


def test_settings_are_those_of_tensorflow_serving() -> None:
    default = BatchingSettings()
    assert (default.max_batch_size, default.batch_timeout_micros, default.max_enqueued_batches) == (1000, 0, 10)


def test_requests_that_wait_at_the_same_time_share_a_batch(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    runner = batch(max_batch_size=10)
    first = fill(runner, doubler, pool)
    later = [pool.submit(ask, runner, rows(*[number] * number)) for number in (1, 2, 3)]
    waiting(runner, 4)
    doubler.gate.set()
    assert [future.result(10).ravel().tolist() for future in [first, *later]] == [[0], [2], [4, 4], [6, 6, 6]]
    assert doubler.sizes == [1, 6]


def test_batch_waits_to_fill(doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor) -> None:
    runner = batch(max_batch_size=3, batch_timeout_micros=10_000_000)
    began = time.monotonic()
    futures = [pool.submit(ask, runner, rows(number)) for number in (1, 2, 3)]
    assert [future.result(10).item() for future in futures] == [2, 4, 6]
    assert time.monotonic() - began < 8  # it ran when it was full, not when its time was over
    assert doubler.sizes == [3]


def test_batch_is_padded_to_an_allowed_size_with_a_row_of_its_last_request(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    told: list[tuple[int, int]] = []
    runner = batch(
        max_batch_size=8,
        allowed_batch_sizes=(2, 4, 8),
        on_batch=lambda rows, padding, waited: told.append((rows, padding)),
    )
    assert ask(runner, rows(1, 2, 3)).ravel().tolist() == [2, 4, 6]
    assert ask(runner, rows(1, 2)).ravel().tolist() == [2, 4]
    assert ask(runner, rows(1, 2, 3, 4, 5)).ravel().tolist() == [2, 4, 6, 8, 10]
    assert [batch["x:0"].ravel().tolist() for batch in doubler.batches] == [
        [1, 2, 3, 1],
        [1, 2],
        [1, 2, 3, 4, 5, 1, 1, 1],
    ]
    assert told == [(3, 1), (2, 0), (5, 3)]


def test_on_batch_is_told_how_long_the_first_request_waited(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    told: list[float] = []
    runner = batch(on_batch=lambda rows, padding, waited: told.append(waited))
    first = fill(runner, doubler, pool)
    second = pool.submit(ask, runner, rows(1))
    waiting(runner, 2)
    seen = time.monotonic()
    while time.monotonic() < seen + 0.1:
        time.sleep(0.01)
    doubler.gate.set()
    first.result(10), second.result(10)
    assert told[0] < 5
    assert 0.1 <= told[1] < 10


@pytest.mark.parametrize("allowed", [(), (1, 4)], ids=["any size", "allowed sizes"])
def test_large_request_is_split_and_joined_again(
    allowed: tuple[int, ...], doubler: Doubler, batch: Callable[..., BatchedRunner]
) -> None:
    runner = batch(max_batch_size=100, max_execution_batch_size=4, allowed_batch_sizes=allowed, num_batch_threads=2)
    x = rows(*range(11))
    np.testing.assert_array_equal(ask(runner, x), x * 2)
    assert sorted(doubler.sizes) == ([3, 4, 4] if not allowed else [4, 4, 4])


def test_large_requests_split_beside_small_ones_get_their_own_rows(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    runner = batch(max_batch_size=50, max_execution_batch_size=4, max_enqueued_batches=100, num_batch_threads=3)
    requests = [rows(*range(start, start + 1 + start % 13)) for start in range(0, 400, 10)]
    for x, y in zip(requests, pool.map(lambda x: ask(runner, x), requests), strict=True):
        np.testing.assert_array_equal(y, x * 2)
    assert max(doubler.sizes) <= 4


@pytest.fixture(scope="module")
def loaded(half: str) -> Iterator[Servable]:
    servable = Servable(half)
    yield servable
    servable.close()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=40),
    threads=st.integers(1, 4),
    allowed=st.sampled_from([(), (1, 2, 4, 8, 12), (12,)]),
    split=st.booleans(),
    wait=st.sampled_from([0, 500]),
)
def test_batched_answers_equal_those_of_the_model_alone(
    sizes: list[int],
    threads: int,
    allowed: tuple[int, ...],
    split: bool,
    wait: int,
    loaded: Servable,
    pool: ThreadPoolExecutor,
) -> None:
    given_ = BatchingSettings(
        max_batch_size=12,
        num_batch_threads=threads,
        batch_timeout_micros=wait,
        max_enqueued_batches=1000,
        allowed_batch_sizes=(2, 5) if split and allowed else allowed,
        max_execution_batch_size=5 if split else None,
    )
    runner = BatchedRunner(loaded, [X_TO_Y], given_)
    try:
        requests = [np.random.default_rng(size).normal(size=[size, 1]).astype(np.float32) for size in sizes]
        together = list(pool.map(lambda x: ask(runner, x), requests))
        for x, y in zip(requests, together, strict=True):
            np.testing.assert_array_equal(y, loaded.run({"x:0": x}, ["y:0"])[0])
    finally:
        runner.close()


def test_requests_that_cannot_be_joined_run_beside_each_other(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    runner = batch()
    first = fill(runner, doubler, pool)
    widths = (2, 3, 2)
    unequal = [pool.submit(ask, runner, np.full([1, width], width, np.float32)) for width in widths]
    waiting(runner, 4)
    doubler.gate.set()
    first.result(10)
    assert [future.result(10).tolist() for future in unequal] == [[[2 * width] * width] for width in widths]
    assert sorted(doubler.sizes) == [1, 1, 2]  # the two of one width still share a batch


def refusing(value: float, *, error: type[Exception] = errors.InvalidArgument) -> Callable[[np.ndarray], np.ndarray]:
    """Doubles, but fails where a row has the value."""

    def answer(x: np.ndarray) -> np.ndarray:
        if (x == value).any():
            raise error("a row was wrong")
        return x * 2

    return answer


@pytest.mark.parametrize("error", [errors.InvalidArgument, errors.OutOfRange, errors.ResourceExhausted, RuntimeError])
@pytest.mark.parametrize("guilty", [[3], [0, 7], [1, 2, 3], list(range(8))], ids=str)
def test_batch_that_fails_fails_only_for_the_requests_that_fail_alone(
    guilty: list[int],
    error: type[Exception],
    doubler: Doubler,
    batch: Callable[..., BatchedRunner],
    pool: ThreadPoolExecutor,
) -> None:
    doubler.answer = refusing(-1, error=error)
    runner = batch(max_batch_size=16, allowed_batch_sizes=(1, 4, 16))
    first = fill(runner, doubler, pool)
    futures = [pool.submit(ask, runner, rows(-1 if number in guilty else number, number)) for number in range(8)]
    waiting(runner, 9)
    doubler.gate.set()
    first.result(10)
    for number, future in enumerate(futures):
        if number in guilty:
            with pytest.raises(errors.ServingError, match="a row was wrong"):
                future.result(10)
        else:
            assert future.result(10).ravel().tolist() == [2 * number, 2 * number]


def test_batch_that_fails_for_one_request_costs_about_twice_its_rows(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    doubler.answer = refusing(-1)
    runner = batch(max_batch_size=64)
    first = fill(runner, doubler, pool)
    futures = [pool.submit(ask, runner, rows(number or -1)) for number in range(32)]
    waiting(runner, 33)
    doubler.gate.set()
    first.result(10)
    assert sum(bool(future.exception(10)) for future in futures) == 1
    assert sum(doubler.sizes[1:]) < 3 * 32


def test_batch_whose_time_is_over_is_not_run_again(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    doubler.answer = refusing(2, error=errors.DeadlineExceeded)
    runner = batch()
    first = fill(runner, doubler, pool)
    late = [pool.submit(ask, runner, rows(2), deadline=Deadline.after(5)) for _ in range(3)]
    waiting(runner, 4)
    doubler.gate.set()
    first.result(10)
    assert all(isinstance(future.exception(10), errors.DeadlineExceeded) for future in late)
    assert doubler.sizes == [1, 3]


def test_unequal_other_dimensions_are_padded_with_the_first_value(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    runner = batch(pad_variable_length_inputs=True, allowed_batch_sizes=(1, 4), max_batch_size=4)
    first = fill(runner, doubler, pool)
    narrow = pool.submit(ask, runner, np.float32([[7, 8]]))
    waiting(runner, 2)
    wide = pool.submit(ask, runner, np.float32([[1, 2, 3], [4, 5, 6]]))
    waiting(runner, 3)
    doubler.gate.set()
    first.result(10)
    assert doubler.batches[0]["x:0"].shape == (1, 1)
    assert narrow.result(10).tolist() == [[14, 16, 14]]  # outputs keep the padding, as in TensorFlow Serving
    assert wide.result(10).tolist() == [[2, 4, 6], [8, 10, 12]]
    assert doubler.batches[1]["x:0"].tolist() == [[7, 8, 7], [1, 2, 3], [4, 5, 6], [1, 2, 3]]


def test_texts_are_padded_too(doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor) -> None:
    doubler.answer = lambda x: x
    runner = batch(pad_variable_length_inputs=True)
    first = fill(runner, doubler, pool)
    narrow = pool.submit(ask, runner, np.array([[b"a"]], object))
    waiting(runner, 2)
    wide = pool.submit(ask, runner, np.array([[b"b", b"c"]], object))
    waiting(runner, 3)
    doubler.gate.set()
    first.result(10)
    assert narrow.result(10).tolist() == [[b"a", b"a"]]
    assert wide.result(10).tolist() == [[b"b", b"c"]]


@pytest.mark.parametrize(
    "shapes",
    [[(1, 2), (1, 2, 2)] * 2, [(1, 2), (1, 0)] * 2, [(1, 2)] * 6 + [(1, 2**21)]],
    ids=["ranks", "an empty one", "a huge one"],
)
def test_requests_that_padding_cannot_or_should_not_join_run_beside_each_other(
    shapes: list[tuple[int, ...]], doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    runner = batch(pad_variable_length_inputs=True)
    first = fill(runner, doubler, pool)
    unequal = [pool.submit(ask, runner, np.ones(shape, np.float32)) for shape in shapes]
    waiting(runner, 1 + len(shapes))
    doubler.gate.set()
    first.result(10)
    assert [future.result(10).shape for future in unequal] == shapes


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        (
            {"x:0": np.float32(1)},
            r"^Batching session Run\(\) input tensors must have at least one dimension: x:0$",
        ),
        ({"x:0": np.ones([5, 1])}, "Batching input tensor size 5 .*max_batch_size|Task size 5 .*batch size 4"),
        ({"x:0": np.ones([0, 1])}, r"^Batching session Run\(\) input tensors must have at least one row$"),
    ],
    ids=["scalar", "too large", "empty"],
)
def test_batching_refuses(
    feeds: dict[str, np.ndarray], message: str, doubler: Doubler, batch: Callable[..., BatchedRunner]
) -> None:
    with pytest.raises(errors.InvalidArgument, match=message):
        batch(max_batch_size=4).run(feeds, ["y:0"])
    assert not doubler.batches


def test_batching_refuses_unequal_numbers_of_rows(batch: Callable[..., BatchedRunner]) -> None:
    runner = batch(queues=[(["x:0", "z:0"], ["y:0"])])
    with pytest.raises(errors.InvalidArgument, match=r"input tensors must have equal 0th-dimension size$"):
        runner.run({"x:0": rows(1), "z:0": rows(1, 2)}, ["y:0"])


def test_too_large_a_request_is_refused_where_requests_are_split(batch: Callable[..., BatchedRunner]) -> None:
    runner = batch(max_batch_size=8, max_execution_batch_size=4)
    assert len(ask(runner, np.ones([8, 1]))) == 8
    with pytest.raises(errors.InvalidArgument, match="9"):
        ask(runner, np.ones([9, 1]))


def test_full_queue_is_unavailable(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    runner = batch(max_batch_size=1, max_enqueued_batches=2)
    first = fill(runner, doubler, pool)
    held = []
    for number in range(2):
        held.append(pool.submit(ask, runner, rows(number)))
        waiting(runner, 2 + number)
    refused = [pool.submit(ask, runner, rows(9)) for _ in range(3)]
    failures = [future.exception(10) for future in refused]
    assert all(type(failure) is errors.Unavailable for failure in failures)
    assert "queue" in str(failures[0])
    doubler.gate.set()
    for future in [first, *held]:
        future.result(10)
    assert ask(runner, rows(3)).item() == 6  # and the queue takes requests again


@pytest.mark.parametrize("place", range(4), ids=["first", "second", "third", "last"])
@pytest.mark.slow
def test_expired_requests_leave_their_batch_and_the_others_run(
    place: int, doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    runner = batch(max_batch_size=10)
    first = fill(runner, doubler, pool)
    deadlines = [Deadline.after(30), NEVER, NEVER]
    deadlines.insert(place, Deadline.after(0.2))
    futures = []
    for number, deadline in enumerate(deadlines):
        futures.append(pool.submit(ask, runner, rows(number, number), deadline=deadline))
        waiting(runner, number + 2)
    time.sleep(0.2)
    doubler.gate.set()
    assert first.result(10).item() == 0
    with pytest.raises(errors.DeadlineExceeded, match=r"^Run\(\) timeout exceeded while waiting in batching queue$"):
        futures[place].result(10)
    for number, future in enumerate(futures):
        if number != place:
            assert future.result(10).ravel().tolist() == [2 * number] * 2
    assert doubler.sizes == [1, 6]


@pytest.mark.parametrize("place", range(3), ids=["first", "second", "last"])
@pytest.mark.slow
def test_request_that_expires_while_its_batch_runs_does_not_spoil_it(
    place: int, doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    doubler.gate.clear()
    runner = batch(max_batch_size=3, batch_timeout_micros=10_000_000)
    deadlines = [NEVER, NEVER]
    deadlines.insert(place, Deadline.after(0.7))
    futures = []
    for number, deadline in enumerate(deadlines):
        futures.append(pool.submit(ask, runner, rows(number), deadline=deadline))
        waiting(runner, number + 1)
    assert doubler.entered.acquire(timeout=10)
    time.sleep(0.7)
    doubler.gate.set()
    assert [future.result(10).item() for future in futures] == [0, 2, 4]
    assert doubler.sizes == [3]


def test_batch_of_expired_requests_does_not_run(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    runner = batch()
    first = fill(runner, doubler, pool)
    expired = pool.submit(ask, runner, rows(5), deadline=Deadline.after(0.1))
    waiting(runner, 2)
    time.sleep(0.2)
    doubler.gate.set()
    first.result(10)
    with pytest.raises(errors.DeadlineExceeded):
        expired.result(10)
    assert ask(runner, rows(1)).item() == 2
    assert doubler.sizes == [1, 1]


@pytest.mark.parametrize(
    "deadlines", [(Deadline(9e9), Deadline(9.1e9)), (Deadline(9e9), NEVER)], ids=["the longest", "none if one has none"]
)
def test_batch_runs_as_long_as_its_most_patient_request(
    deadlines: tuple[Deadline, ...],
    doubler: Doubler,
    batch: Callable[..., BatchedRunner],
    pool: ThreadPoolExecutor,
) -> None:
    runner = batch()
    first = fill(runner, doubler, pool)
    futures = [pool.submit(ask, runner, rows(1), deadline=deadline) for deadline in deadlines]
    waiting(runner, 3)
    doubler.gate.set()
    for future in [first, *futures]:
        future.result(10)
    assert doubler.deadlines[1] is deadlines[1]


@pytest.mark.parametrize(
    ("failure", "error", "message"),
    [
        (errors.InvalidArgument("no such character"), errors.InvalidArgument, "no such character"),
        (errors.ResourceExhausted("no memory"), errors.ResourceExhausted, "no memory"),
        (ZeroDivisionError("oh"), errors.Internal, "ZeroDivisionError: oh"),
    ],
    ids=["invalid", "exhausted", "bug"],
)
def test_error_of_a_batch_reaches_every_request_of_it_with_its_code(
    failure: Exception,
    error: type[errors.ServingError],
    message: str,
    doubler: Doubler,
    batch: Callable[..., BatchedRunner],
    pool: ThreadPoolExecutor,
) -> None:
    doubler.failure = failure
    runner = batch()
    first = fill(runner, doubler, pool)
    futures = [first, *(pool.submit(ask, runner, rows(1)) for _ in range(3))]
    waiting(runner, 4)
    doubler.gate.set()
    for future in futures:
        with pytest.raises(error) as caught:
            future.result(10)
        assert caught.value.message == message


@pytest.mark.parametrize(
    "answer", [lambda x: x[:1], lambda x: x.sum(), lambda x: np.concatenate([x, x])], ids=["fewer", "scalar", "more"]
)
def test_output_without_a_row_for_each_row_fails_the_batch(
    answer: Callable[[np.ndarray], np.ndarray], doubler: Doubler, batch: Callable[..., BatchedRunner]
) -> None:
    doubler.answer = answer
    with pytest.raises(errors.FailedPrecondition, match=r"^Batched output tensor.* 0"):
        ask(batch(), rows(1, 2, 3))


def test_undeclared_outputs_and_inputs_go_straight_to_the_model(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    runner = batch(queues=[(["x:0"], ["y:0", "z:0"])])
    first = pool.submit(runner.run, {"x:0": rows(1)}, ["z:0", "y:0"])
    assert [array.item() for array in first.result(10)] == [2, 2]
    assert runner.run({"x:0": np.float32(4)}, ["y:0"], deadline=Deadline(9e9)) == [8]  # scalars are fine there
    assert doubler.fetches == [["y:0", "z:0"], ["y:0"]]
    assert doubler.deadlines == [NEVER, Deadline(9e9)]


def test_outputs_come_in_the_order_asked(batch: Callable[..., BatchedRunner], half: str, loaded: Servable) -> None:
    runner = batch(runner=loaded, queues=[(["examples:0"], ["examples:0", "value:0"]), X_TO_Y, (["x:0"], ["y:0"])])
    one, two = runner.run({"x:0": rows(2, 4)}, ["y:0", "y:0"])
    np.testing.assert_array_equal(one, rows(3, 4))
    np.testing.assert_array_equal(two, rows(3, 4))


def test_two_queues_share_the_threads_and_not_the_batches(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    queues = [X_TO_Y, (["z:0"], ["y:0"])]
    runner = batch(queues=queues, num_batch_threads=1, max_batch_size=2, batch_timeout_micros=60_000_000)
    doubler.gate.clear()
    first = pool.submit(ask, runner, rows(0, 0))  # full: it need not wait for company, and the others do
    assert doubler.entered.acquire(timeout=10)
    x = [pool.submit(ask, runner, rows(number)) for number in (1, 2)]
    z = [pool.submit(runner.run, {"z:0": rows(number)}, ["y:0"]) for number in (3, 4)]
    waiting(runner, 5)
    assert len(doubler.batches) == 1  # the one thread is at the gate
    doubler.gate.set()
    first.result(10)
    assert [future.result(10).item() for future in x] == [2, 4]
    assert [future.result(10)[0].item() for future in z] == [6, 8]
    assert sorted((*batch, len(*batch.values())) for batch in doubler.batches) == [("x:0", 2), ("x:0", 2), ("z:0", 2)]


def test_so_many_batches_run_at_once_as_there_are_threads(
    doubler: Doubler, batch: Callable[..., BatchedRunner], pool: ThreadPoolExecutor
) -> None:
    runner = batch(max_batch_size=1, num_batch_threads=3)
    doubler.gate.clear()
    futures = [pool.submit(ask, runner, rows(number)) for number in range(6)]
    for _ in range(3):
        assert doubler.entered.acquire(timeout=10)
    assert not doubler.entered.acquire(timeout=0.2)
    doubler.gate.set()
    assert sorted(future.result(10).item() for future in futures) == [0, 2, 4, 6, 8, 10]


def test_close_ends_the_threads_of_the_scheduler(doubler: Doubler) -> None:
    def threads() -> int:
        return int(
            next(
                line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Threads:")
            ).split()[1]
        )

    BatchedRunner(doubler, [X_TO_Y], BatchingSettings()).close()
    before = threads()
    for _ in range(5):
        runner = BatchedRunner(doubler, [X_TO_Y], BatchingSettings(num_batch_threads=8))
        ask(runner, rows(1))
        runner.close()
    end = time.monotonic() + 5
    while threads() > before + 8 and time.monotonic() < end:
        time.sleep(0.05)
    assert threads() <= before + 8


def deployed() -> BatchingSettings:
    """The settings that our own batching.config gives a server."""
    file = ROOT / "deploy" / "serving" / "batching.config"
    return read_batching(ServerFlags(model_base_path="/m", enable_batching=True, batching_parameters_file=str(file)))


def test_our_own_file_takes_a_request_of_a_client_whole(doubler: Doubler) -> None:
    runner = BatchedRunner(doubler, [X_TO_Y], deployed())
    rows = np.arange(128, dtype=np.float32)
    assert runner.run({"x:0": rows}, ["y:0"])[0].tolist() == (rows * 2).tolist()
    assert doubler.sizes == [32] * 4
    runner.close()


def test_our_own_file_does_not_let_a_request_wait_for_company(doubler: Doubler) -> None:
    assert deployed().batch_timeout_micros == 0
    runner = BatchedRunner(doubler, [X_TO_Y], deployed())
    runner.run({"x:0": np.zeros(1, np.float32)}, ["y:0"])
    assert doubler.sizes == [1]
    runner.close()
