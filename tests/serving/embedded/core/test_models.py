"""The life of versions, stepped by a loader that waits to be told how each load ends."""

import itertools
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from charflow.serving import errors
from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.inference import Loaded
from charflow.serving.embedded.core.models import AVAILABLE, END, LOADING, START, UNLOADING, Models
from charflow.serving.version_status import VersionStatus


class Nothing:
    def run(self, feeds: Any, fetches: Any, *, deadline: Deadline = NEVER) -> list[Any]:
        return []


class Version:
    """What the fake loader gives."""

    def __init__(self, path: str, log: list[str]) -> None:
        self.loaded = Loaded({}, Nothing())
        self.path, self._log, self.closed = path, log, False

    def close(self) -> None:
        self.closed = True
        self._log.append(f"close {self.path}")


class Loader:
    """Loads at once, or, where `stepped`, when `let` says how."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.made: list[Version] = []
        self.stepped = False
        self.failing: dict[str, Exception] = {}
        self._ends: queue.Queue[Exception | None] = queue.Queue()

    def __call__(self, name: str, path: str) -> Version:
        self.log.append(f"load {path}")
        failure = self._ends.get(timeout=20) if self.stepped else self.failing.get(path)
        if failure:
            raise failure
        self.made.append(Version(path, self.log))
        return self.made[-1]

    def let(self, failure: Exception | None = None) -> None:
        self._ends.put(failure)


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def models(loader: Loader) -> Iterator[Callable[..., Models]]:
    made: list[Models] = []

    def models(**options: Any) -> Models:
        made.append(Models(loader, **options))
        return made[-1]

    yield models
    for one in made:
        one.close()
    for _ in range(10):
        loader.let()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.002)


def states(models: Models, name: str = "m") -> dict[int, str]:
    return {status.version: status.state for status in models.statuses(name)}


def settle(models: Models, expected: Mapping[int, str], name: str = "m") -> None:
    end = time.monotonic() + 10
    while states(models, name) != expected:
        assert time.monotonic() < end, f"{states(models, name)} did not become {expected}"
        time.sleep(0.002)


def test_aspire_loads_and_no_version_asked_gives_the_highest(models: Callable[..., Models]) -> None:
    served = models()
    served.aspire("m", {2: "/m/2", 10: "/m/10"})
    settle(served, {10: AVAILABLE, 2: AVAILABLE})
    with served.lease("m", None) as (number, _), served.lease("m", 2) as (other, _):
        assert (number, other) == (10, 2)
    assert served.available("m") == {2, 10}
    assert served.statuses("m") == [
        VersionStatus(version=10, state="AVAILABLE"),
        VersionStatus(version=2, state="AVAILABLE"),
    ]


@pytest.mark.parametrize(
    ("name", "number", "message"),
    [
        ("other", None, "Servable not found for request: Latest(other)"),
        ("other", 3, "Servable not found for request: Specific(other, 3)"),
        ("m", 3, "Servable not found for request: Specific(m, 3)"),
    ],
    ids=["model", "version of another model", "version"],
)
def test_lease_finds_nothing(name: str, number: int | None, message: str, models: Callable[..., Models]) -> None:
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})
    with pytest.raises(errors.NotFound) as caught, served.lease(name, number):
        pass
    assert caught.value.message == message
    assert served.statuses("other") == []


def test_version_that_loads_cannot_be_leased(loader: Loader, models: Callable[..., Models]) -> None:
    loader.stepped = True
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: LOADING})
    with pytest.raises(errors.NotFound, match=r"Latest\(m\)"), served.lease("m", None):
        pass
    with pytest.raises(errors.NotFound, match=r"Specific\(m, 1\)"), served.lease("m", 1):
        pass
    loader.let()
    settle(served, {1: AVAILABLE})


def test_highest_version_loads_first_and_the_others_wait(loader: Loader, models: Callable[..., Models]) -> None:
    loader.stepped = True
    served = models()
    served.aspire("m", {1: "/m/1", 3: "/m/3", 2: "/m/2"})
    settle(served, {3: LOADING, 2: START, 1: START})
    for _ in range(3):
        loader.let()
    settle(served, {3: AVAILABLE, 2: AVAILABLE, 1: AVAILABLE})
    assert loader.log == ["load /m/3", "load /m/2", "load /m/1"]


def test_new_version_is_available_before_the_old_one_goes(loader: Loader, models: Callable[..., Models]) -> None:
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})
    loader.stepped = True
    served.aspire("m", {2: "/m/2"})
    settle(served, {2: LOADING, 1: AVAILABLE})
    with served.lease("m", None) as (number, _):
        assert number == 1
    loader.let()
    settle(served, {2: AVAILABLE, 1: END})
    assert loader.log == ["load /m/1", "load /m/2", "close /m/1"]
    with served.lease("m", None) as (number, _):
        assert number == 2
    assert served.statuses("m")[1] == VersionStatus(version=1, state="END")


def test_of_several_old_versions_one_stays_until_the_new_one_is_there(
    loader: Loader, models: Callable[..., Models]
) -> None:
    served = models()
    served.aspire("m", {1: "/m/1", 2: "/m/2", 3: "/m/3"})
    settle(served, {1: AVAILABLE, 2: AVAILABLE, 3: AVAILABLE})
    loader.stepped = True
    served.aspire("m", {4: "/m/4"})
    settle(served, {1: END, 2: END, 3: AVAILABLE, 4: LOADING})
    loader.let()
    settle(served, {1: END, 2: END, 3: END, 4: AVAILABLE})


def test_request_ends_on_the_version_it_began_on_and_unloading_waits(
    loader: Loader, models: Callable[..., Models]
) -> None:
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})
    with served.lease("m", None) as (number, loaded), served.lease("m", 1):
        assert (number, loaded) == (1, loader.made[0].loaded)
        served.aspire("m", {2: "/m/2"})
        settle(served, {2: AVAILABLE, 1: UNLOADING})
        time.sleep(0.05)
        assert states(served) == {2: AVAILABLE, 1: UNLOADING}
        assert not loader.made[0].closed
        with pytest.raises(errors.NotFound, match=r"Specific\(m, 1\)"), served.lease("m", 1):
            pass
    settle(served, {2: AVAILABLE, 1: END})
    assert loader.made[0].closed


def test_lease_ends_where_the_request_fails(loader: Loader, models: Callable[..., Models]) -> None:
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})
    with pytest.raises(ZeroDivisionError), served.lease("m", None):
        raise ZeroDivisionError
    served.aspire("m", {})
    settle(served, {1: END})


def test_unloading_of_one_model_does_not_hold_up_another(loader: Loader, models: Callable[..., Models]) -> None:
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})
    with served.lease("m", 1):
        served.aspire("m", {})
        settle(served, {1: UNLOADING})
        served.aspire("n", {1: "/n/1"})
        settle(served, {1: AVAILABLE}, "n")
        assert states(served) == {1: UNLOADING}


def test_nothing_aspired_unloads_all(loader: Loader, models: Callable[..., Models]) -> None:
    served = models()
    served.aspire("m", {1: "/m/1", 2: "/m/2"})
    settle(served, {1: AVAILABLE, 2: AVAILABLE})
    served.aspire("m", {})
    settle(served, {1: END, 2: END})
    assert sorted(loader.log[2:]) == ["close /m/1", "close /m/2"]
    served.aspire("never heard of", {})
    assert served.statuses("never heard of") == []


def test_failed_load_is_tried_again(loader: Loader, models: Callable[..., Models]) -> None:
    loader.stepped = True
    served = models(max_retries=2, retry_interval=0.01)
    served.aspire("m", {1: "/m/1"})
    loader.let(errors.DataLoss("torn"))
    until(lambda: len(loader.log) == 2)
    assert served.statuses("m") == [VersionStatus(version=1, state=LOADING, code="DATA_LOSS", message="torn")]
    loader.let()
    settle(served, {1: AVAILABLE})
    assert served.statuses("m") == [VersionStatus(version=1, state=AVAILABLE)]  # the error is forgotten
    assert loader.log == ["load /m/1"] * 2


def test_retries_wait_for_their_interval(loader: Loader, models: Callable[..., Models]) -> None:
    loader.failing["/m/1"] = errors.DataLoss("torn")
    served = models(max_retries=2, retry_interval=0.15)
    began = time.monotonic()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: END})
    assert 0.3 <= time.monotonic() - began < 5
    assert loader.log == ["load /m/1"] * 3


def test_another_model_loads_while_one_waits_to_be_tried_again(loader: Loader, models: Callable[..., Models]) -> None:
    loader.failing["/m/1"] = errors.DataLoss("torn")
    served = models(max_retries=1, retry_interval=60)
    served.aspire("m", {1: "/m/1"})
    until(lambda: served.statuses("m")[0].code == "DATA_LOSS")
    served.aspire("n", {1: "/n/1"})
    settle(served, {1: AVAILABLE}, "n")


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (errors.NotFound("no graph"), "NOT_FOUND", "no graph"),
        (ZeroDivisionError("oh"), "INTERNAL", "ZeroDivisionError: oh"),
    ],
    ids=["serving error", "bug"],
)
def test_load_that_fails_for_good_ends_and_the_old_version_stays(
    failure: Exception, code: str, message: str, loader: Loader, models: Callable[..., Models]
) -> None:
    loader.failing["/m/2"] = failure
    served = models(max_retries=1, retry_interval=0)
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})
    served.aspire("m", {2: "/m/2"})
    settle(served, {2: END, 1: AVAILABLE})
    time.sleep(0.05)
    assert served.statuses("m") == [
        VersionStatus(version=2, state=END, code=code, message=message),
        VersionStatus(version=1, state=AVAILABLE),
    ]
    assert loader.log == ["load /m/1", "load /m/2", "load /m/2"]
    served.aspire("m", {2: "/m/2"})  # the next look at the folder
    time.sleep(0.05)
    assert len(loader.log) == 3
    with served.lease("m", None) as (number, _):
        assert number == 1
    served.aspire("m", {3: "/m/3"})  # a good one at last
    settle(served, {3: AVAILABLE, 2: END, 1: END})


def test_retries_stop_when_a_version_is_no_longer_wanted(loader: Loader, models: Callable[..., Models]) -> None:
    loader.failing["/m/1"] = errors.DataLoss("torn")
    served = models(max_retries=100, retry_interval=0.05)
    served.aspire("m", {1: "/m/1"})
    until(lambda: len(loader.log) >= 2)
    served.aspire("m", {})
    settle(served, {1: END})
    tries = len(loader.log)
    time.sleep(0.15)
    assert len(loader.log) == tries


def test_version_that_is_no_longer_wanted_before_it_loads_ends(loader: Loader, models: Callable[..., Models]) -> None:
    loader.stepped = True
    served = models()
    served.aspire("m", {1: "/m/1", 2: "/m/2"})
    settle(served, {2: LOADING, 1: START})
    served.aspire("m", {2: "/m/2"})
    settle(served, {2: LOADING, 1: END})
    loader.let()
    settle(served, {2: AVAILABLE, 1: END})


def test_version_that_is_no_longer_wanted_while_it_loads_is_unloaded(
    loader: Loader, models: Callable[..., Models]
) -> None:
    loader.stepped = True
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: LOADING})
    served.aspire("m", {})
    loader.let()
    settle(served, {1: END})
    assert loader.log == ["load /m/1", "close /m/1"]


def test_version_that_comes_back_is_loaded_anew(loader: Loader, models: Callable[..., Models]) -> None:
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})
    served.aspire("m", {})
    settle(served, {1: END})
    served.aspire("m", {1: "/m/001"})
    settle(served, {1: AVAILABLE})
    assert loader.log == ["load /m/1", "close /m/1", "load /m/001"]


def test_version_that_failed_and_comes_back_is_loaded_anew(loader: Loader, models: Callable[..., Models]) -> None:
    loader.failing["/m/1"] = errors.DataLoss("torn")
    served = models(max_retries=0)
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: END})
    served.aspire("m", {})
    del loader.failing["/m/1"]
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})


def test_version_that_comes_back_while_it_unloads_is_loaded_anew(loader: Loader, models: Callable[..., Models]) -> None:
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})
    with served.lease("m", 1):
        served.aspire("m", {})
        settle(served, {1: UNLOADING})
        served.aspire("m", {1: "/m/1"})
        time.sleep(0.05)
        assert states(served) == {1: UNLOADING}
    settle(served, {1: AVAILABLE})
    assert loader.log == ["load /m/1", "close /m/1", "load /m/1"]


def test_version_that_comes_and_goes_while_it_unloads_stays_away(loader: Loader, models: Callable[..., Models]) -> None:
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})
    with served.lease("m", 1):
        for versions in ({}, {1: "/m/1"}, {}):
            served.aspire("m", versions)
            time.sleep(0.02)
    settle(served, {1: END})
    assert loader.log == ["load /m/1", "close /m/1"]


def test_unloading_that_fails_ends_all_the_same(loader: Loader, models: Callable[..., Models]) -> None:
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})
    loader.made[0].close = lambda: 1 / 0
    served.aspire("m", {2: "/m/2"})
    settle(served, {2: AVAILABLE, 1: END})


def test_wait_returns_when_each_model_has_a_version(loader: Loader, models: Callable[..., Models]) -> None:
    loader.stepped = True
    served = models()
    waited: list[float] = []
    thread = threading.Thread(
        target=lambda: waited.append(served.wait(lambda: ["m", "n"], deadline=Deadline.after(10)) or 1)
    )
    thread.start()
    served.aspire("m", {1: "/m/1"})
    served.aspire("n", {1: "/n/1"})
    loader.let()
    settle(served, {1: AVAILABLE})
    assert thread.is_alive()
    loader.let()
    thread.join(10)
    assert waited == [1]
    served.wait(lambda: [], deadline=Deadline.after(0))


def test_wait_is_content_with_one_of_several_versions(loader: Loader, models: Callable[..., Models]) -> None:
    loader.failing["/m/2"] = errors.DataLoss("torn")
    served = models(max_retries=0)
    served.aspire("m", {1: "/m/1", 2: "/m/2"})
    served.wait(lambda: ["m"], deadline=Deadline.after(10))
    assert states(served) == {2: END, 1: AVAILABLE}


def test_wait_tells_what_failed(loader: Loader, models: Callable[..., Models]) -> None:
    loader.failing["/m/2"] = errors.DataLoss("torn")
    loader.failing["/m/1"] = errors.NotFound("no graph")
    served = models(max_retries=1, retry_interval=0.01)
    served.aspire("ok", {1: "/ok/1"})
    served.aspire("m", {1: "/m/1", 2: "/m/2"})
    with pytest.raises(errors.ServingError) as caught:
        served.wait(lambda: ["ok", "m"], deadline=Deadline.after(10))
    assert caught.value.message.startswith("1 model(s) did not become available: {")
    assert "name: m version: 1 due to error: NOT_FOUND: no graph" in caught.value.message
    assert "name: m version: 2 due to error: DATA_LOSS: torn" in caught.value.message
    assert loader.log.count("load /m/1") == 2  # only after the retries


def test_wait_ends_in_time(models: Callable[..., Models]) -> None:
    with pytest.raises(errors.DeadlineExceeded, match=r"^2 model\(s\) did not become available in time$"):
        models().wait(lambda: ["m", "n"], deadline=Deadline.after(0.05))


def test_close_ends_those_who_wait(models: Callable[..., Models]) -> None:
    served = models()
    threading.Timer(0.05, served.close).start()
    with pytest.raises(errors.Cancelled, match="the server is ending"):
        served.wait(lambda: ["m"], deadline=Deadline.after(10))
    served._thread.join(10)
    assert not served._thread.is_alive()


def test_close_leaves_what_is_lent(loader: Loader, models: Callable[..., Models]) -> None:
    served = models()
    served.aspire("m", {1: "/m/1"})
    settle(served, {1: AVAILABLE})
    with served.lease("m", None) as (number, _):
        served.close()
        assert number == 1
    assert not loader.made[0].closed


@pytest.mark.slow
def test_requests_always_find_a_version_while_versions_come_and_go(models: Callable[..., Models]) -> None:
    """Two seconds of twelve threads that ask, while versions change at random but never to none."""
    served = Models(lambda name, path: Slow(path))
    rng = random.Random(7)
    served.aspire("m", {0: "/m/0"})
    served.wait(lambda: ["m"], deadline=Deadline.after(10))
    stop, asked, failures = threading.Event(), itertools.count(), []

    def ask() -> None:
        while not stop.is_set():
            try:
                with served.lease("m", None) as (_, loaded):
                    assert isinstance(loaded, Slow)
                    assert not loaded.closed
                    time.sleep(rng.random() * 0.003)
                    assert not loaded.closed
                next(asked)
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        wanted = rng.sample(range(6), rng.randint(1, 3))
        served.aspire("m", {number: f"/m/{number}" for number in wanted})
        time.sleep(rng.random() * 0.01)
    served.aspire("m", {9: "/m/9"})
    until(lambda: served.available("m") == {9})
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert failures == []
    assert next(asked) > 100
    settle(served, {**dict.fromkeys(states(served), END), 9: AVAILABLE})
    served.close()


class Slow:
    """A version, and what it lends, that knows whether it was closed."""

    def __init__(self, path: str) -> None:
        time.sleep(0.002)
        self.closed = False
        self.loaded: Any = self

    def close(self) -> None:
        self.closed = True
