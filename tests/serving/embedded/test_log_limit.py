"""What a log lets through when somebody outside makes it say the same again and again."""

import logging
from collections.abc import Iterator

import pytest

from charflow.serving.embedded import log_limit
from charflow.serving.embedded.log_limit import LogLimit


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    handler.addFilter(LogLimit())
    logger = logging.getLogger("limited")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_same_warning_is_written_a_few_times(kept: Kept) -> None:
    for _ in range(1000):
        logging.getLogger("limited").warning("bad %s", "request")
        logging.getLogger("limited").error("another")
    assert sorted(kept.lines) == ["another"] * 5 + ["bad request"] * 5


def test_other_texts_and_information_are_not_limited(kept: Kept) -> None:
    for number in range(20):
        logging.getLogger("limited").info("information")
        logging.getLogger("limited").warning("version %d", number)
    assert len(kept.lines) == 40


def test_next_period_says_what_was_left_out(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(log_limit.time, "monotonic", lambda: now)
    for _ in range(12):
        logging.getLogger("limited").warning("bad request")
    now = 61.0
    for _ in range(2):
        logging.getLogger("limited").warning("bad request")
    assert kept.lines[5:] == ["bad request (and 7 times more)", "bad request"]


def test_texts_that_are_all_different_are_forgotten(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_limit, "_TEXTS", 10)
    limit = kept.filters[0]
    for number in range(100):
        logging.getLogger("limited").warning("text %d", number)
    assert len(limit._seen) <= 11
