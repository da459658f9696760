import time

from charflow.serving.embedded.core.deadline import NEVER, Deadline


def test_deadline_after_counts_from_now() -> None:
    assert 9 < Deadline.after(10).left() <= 10


def test_deadline_that_has_passed_has_nothing_left() -> None:
    assert Deadline(time.monotonic() - 1).left() <= -1


def test_deadline_says_how_long_the_request_had() -> None:
    assert str(Deadline.after(0.5).error()) == "Deadline exceeded: the request took longer than 0.5 s"


def test_never_is_the_latest() -> None:
    assert max(Deadline.after(1), NEVER, Deadline.after(10**9)) is NEVER
    assert NEVER.left() == float("inf")
