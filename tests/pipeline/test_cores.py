"""The cores that this process may use."""

from charflow.pipeline.cores import usable_cores


def test_there_are_cores() -> None:
    assert usable_cores() >= 1
