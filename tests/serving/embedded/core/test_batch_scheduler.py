"""When a batch runs: full, with another behind it, after its time; and for whom it waits."""

import threading
import time
from typing import Any

import numpy as np
import pytest

from charflow.serving import errors
from charflow.serving.embedded.core.batch_scheduler import _MOST_RETURN_SECONDS, BatchScheduler, Task, _Queue
from charflow.serving.embedded.core.batching_settings import BatchingSettings
from charflow.serving.embedded.core.deadline import NEVER


def task(rows: int = 1) -> Task:
    return Task([np.zeros([rows, 1])], rows, NEVER)


def queue(*rows: int, **given: Any) -> _Queue:
    made = _Queue(BatchingSettings(**given))
    for count in rows:
        made.add(task(count))
    return made


def rows_of(batches: _Queue) -> list[list[int]]:
    """The rows of the requests in each batch, of those that are taken until the queue is empty."""
    taken = []
    while batches.due() < float("inf"):
        taken.append([stop - start for _, start, stop in batches.take()])
    return taken


def test_empty_queue_has_no_batch_that_is_due() -> None:
    assert queue().due() == float("inf")


def test_batch_is_due_at_once_without_a_timeout() -> None:
    assert queue(1).due() <= time.monotonic()


@pytest.mark.parametrize(
    ("rows", "is_due"),
    [([3], False), ([4], True), ([2, 2], True), ([3, 3], True)],
    ids=["part", "full", "two", "behind"],
)
def test_batch_with_a_timeout_is_due_when_it_can_grow_no_more(rows: list[int], is_due: bool) -> None:
    found = queue(*rows, max_batch_size=4, batch_timeout_micros=60_000_000)
    assert (found.due() <= time.monotonic()) == is_due


def test_requests_are_packed_whole_in_their_order() -> None:
    assert rows_of(queue(3, 2, 2, 4, 1, max_batch_size=4)) == [[3], [2, 2], [4], [1]]


def test_requests_are_split_over_batches_where_that_is_on() -> None:
    assert rows_of(queue(3, 2, 9, max_batch_size=10, max_execution_batch_size=4)) == [[3, 1], [1, 3], [4], [2]]


def test_full_queue_takes_nothing_of_a_request() -> None:
    found = queue(4, 3, max_batch_size=10, max_execution_batch_size=4, max_enqueued_batches=3)
    with pytest.raises(errors.Unavailable, match=r"queue .* is full: 2 of 3 batches wait$"):
        found.add(task(6))
    found.add(task(5))
    assert rows_of(found) == [[4], [3, 1], [4]]


def test_batch_waits_for_the_callers_of_the_last_one_until_they_are_back() -> None:
    found = queue()
    before = time.monotonic()
    found.ran(3, seconds=60.0)
    found.add(task(1))
    found.add(task(1))
    assert before < found.due() <= time.monotonic() + _MOST_RETURN_SECONDS
    found.add(task(1))
    assert found.due() <= time.monotonic()


def test_those_that_wait_already_are_none_of_those_who_come_back() -> None:
    found = queue(2)
    found.ran(1, seconds=60.0)
    assert found.due() > time.monotonic()
    found.add(task(1))
    assert found.due() <= time.monotonic()


@pytest.mark.parametrize("rows", [1, 5])
def test_caller_that_is_alone_waits_for_nobody(rows: int) -> None:
    found = queue()
    found.ran(rows, seconds=60.0)
    found.add(task(rows))
    assert found.due() <= time.monotonic()


def test_short_batch_has_little_time_to_be_waited_for() -> None:
    found = queue()
    found.ran(3, seconds=0.0)
    found.add(task(1))
    assert found.due() <= time.monotonic()


def test_batch_that_fails_in_an_unforeseen_way_leaves_no_caller_waiting() -> None:
    def run(number: int, pieces: Any) -> None:
        if number:
            raise ZeroDivisionError("oh")

    scheduler = BatchScheduler(BatchingSettings(), 2, run)
    failing, fine = task(), task()
    scheduler.run(1, failing)
    scheduler.run(0, fine)
    assert isinstance(failing.error, errors.Internal)
    assert fine.error is None
    scheduler.close()


def test_request_that_is_alone_runs_in_its_own_thread_and_company_in_others() -> None:
    """A request of three batches: the first stays with its caller, and as many run at once as may."""
    threads: list[str] = []
    together = threading.Barrier(3, timeout=20)

    def run(number: int, pieces: Any) -> None:
        threads.append(threading.current_thread().name)
        together.wait()

    settings = BatchingSettings(max_batch_size=6, max_execution_batch_size=2, num_batch_threads=3)
    scheduler = BatchScheduler(settings, 1, run)
    scheduler.run(0, task(6))
    assert threading.current_thread().name in threads
    assert len(set(threads)) == 3
    scheduler.close()


def test_threads_end_where_callers_ran_all() -> None:
    before = threading.active_count()
    scheduler = BatchScheduler(BatchingSettings(num_batch_threads=4), 1, lambda number, pieces: None)
    scheduler.run(0, task())
    scheduler.close()
    end = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < end
        time.sleep(0.01)
