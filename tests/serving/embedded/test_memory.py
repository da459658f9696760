"""Memory that was freed goes back to the system."""

import threading

import pytest

from charflow.serving.embedded import memory


def test_memory_is_trimmed_at_first_and_when_it_has_grown_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    ending, sizes, trims = threading.Event(), iter([140, 140, 160, 190, 220, 90, 90, 160, 95]), []
    now = [200]

    def resident() -> int:
        return now[0] * 2**20

    def wait(_: float) -> bool:
        now[0] = next(sizes, -1)
        return now[0] < 0

    def trim(_: int) -> int:
        trims.append(now[0])
        now[0] -= 60
        return 1

    monkeypatch.setattr(ending, "wait", wait)
    monkeypatch.setattr(memory, "_resident", resident)
    memory._keep_trimming(trim, ending)
    assert trims == [200, 220, 160]  # at first; 64 MB above the 140 left; then above the 90 it fell to


def test_trimming_is_that_of_the_c_library_where_it_has_one() -> None:
    ending = threading.Event()
    thread = memory.trim_memory(ending)
    assert memory._resident() > 2**20
    ending.set()
    if thread is not None:  # glibc
        thread.join(10)
        assert not thread.is_alive()
