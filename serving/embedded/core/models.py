"""Keeps the versions that should be served loaded, and lends them to requests.

The core tells it which versions should be served; a thread of its own loads and unloads one at a time. A new version is
available before the old one goes, requests that began on a version end on it, and a version that fails to load is
tried again while the old one stays (TensorFlow Serving's availability-preserving policy).
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.inference import Loaded
from charflow.serving.errors import Cancelled, DeadlineExceeded, Internal, NotFound, ServingError
from charflow.serving.version_status import AVAILABLE, END, LOADING, START, UNLOADING, VersionStatus

_logger = logging.getLogger(__name__)

_ASK_SECONDS = 1.0  # between two questions for whom to wait


class Closeable(Protocol):
    """What a load gives: something to ask, and to close when it is no longer served."""

    loaded: Loaded

    def close(self) -> None:
        """Frees it."""
        ...


@dataclass(eq=False)
class _Version:
    number: int
    path: str
    aspired: bool = True
    state: str = START
    error: ServingError | None = None
    attempts: int = 0
    not_before: float = 0.0  # of the next attempt, monotonic seconds
    servable: Closeable | None = None
    requests: int = 0


class Models:
    """All versions of all models; every method may be called from any thread."""

    def __init__(
        self, load: Callable[[str, str], Closeable], *, max_retries: int = 5, retry_interval: float = 60.0
    ) -> None:
        """Starts the thread that loads and unloads.

        Args:
            load: loads a version, given its model's name and its folder.
            max_retries: attempts after the first.
            retry_interval: seconds between two.
        """
        self._load, self._max_retries, self._retry_interval = load, max_retries, max(0.0, retry_interval)
        self._models: dict[str, dict[int, _Version]] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="load", daemon=True)
        self._thread.start()

    def aspire(self, name: str, versions: Mapping[int, str]) -> None:
        """Says which versions of a model should be served, each with its folder; none unloads all."""
        with self._changed:
            known = self._models.setdefault(name, {}) if versions else self._models.get(name, {})
            for number, path in versions.items():
                version = known.get(number)
                if version is None or (version.state == END and not version.aspired):
                    known[number] = _Version(number, path)
                else:
                    version.aspired, version.path = True, path
            for number, version in known.items():
                if number not in versions:
                    version.aspired = False
                    if version.state == START:
                        version.state = END
            self._changed.notify_all()

    @contextmanager
    def lease(self, name: str, number: int | None) -> Iterator[tuple[int, Loaded]]:
        """Lends a version for a request; None takes the highest that is available.

        Raises:
            NotFound: it is not being served.
        """
        with self._changed:
            version = self._find(name, number)
            version.requests += 1
        try:
            assert version.servable is not None
            yield version.number, version.servable.loaded
        finally:
            with self._changed:
                version.requests -= 1
                if version.state == UNLOADING and not version.requests:
                    self._changed.notify_all()

    def statuses(self, name: str) -> list[VersionStatus]:
        """Tells where each version is, highest first; empty for a model that was never heard of."""
        with self._changed:
            return [
                VersionStatus(
                    version=version.number,
                    state=version.state,
                    code=version.error.code if version.error else "OK",
                    message=version.error.message if version.error else "",
                )
                for _, version in sorted(self._models.get(name, {}).items(), reverse=True)
            ]

    def available(self, name: str) -> set[int]:
        """Lists the versions that can be asked now."""
        with self._changed:
            return {number for number, version in self._models.get(name, {}).items() if version.state == AVAILABLE}

    def wait(self, awaited: Callable[[], Collection[str]], *, deadline: Deadline = NEVER) -> None:
        """Waits until every model has a version to serve.

        Args:
            awaited: names the models, which may change; asked at least every second. What it raises ends the wait.
            deadline: when to wait no longer.

        Raises:
            ServingError: a model has versions, and none can be loaded.
            DeadlineExceeded: not in time.
            Cancelled: the server ends.
        """
        with self._changed:
            while not self._closing:
                waiting = [name for name in awaited() if not self._has(name, AVAILABLE)]
                failed = {name: self._failures(name) for name in waiting}
                if any(failed.values()):
                    raise ServingError(
                        f"{len(waiting)} model(s) did not become available: "
                        + ", ".join(f"{{{text}}}" for text in failed.values() if text)
                    )
                if not waiting:
                    return
                left = deadline.left()
                if left <= 0:
                    raise DeadlineExceeded(f"{len(waiting)} model(s) did not become available in time")
                self._changed.wait(min(left, _ASK_SECONDS))
        raise Cancelled("the server is ending")

    def close(self) -> None:
        """Stops loading; what is lent stays until the process ends."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _find(self, name: str, number: int | None) -> _Version:
        versions = self._models.get(name, {})
        if number is None:
            ready = [version for version in versions.values() if version.state == AVAILABLE]
            if not ready:
                raise NotFound(f"Servable not found for request: Latest({name})")
            return max(ready, key=lambda version: version.number)
        version = versions.get(number)
        if version is None or version.state != AVAILABLE:
            raise NotFound(f"Servable not found for request: Specific({name}, {number})")
        return version

    def _has(self, name: str, state: str) -> bool:
        return any(version.state == state for version in self._models.get(name, {}).values())

    def _failures(self, name: str) -> str:
        aspired = [version for version in self._models.get(name, {}).values() if version.aspired]
        if not aspired or any(version.state != END for version in aspired):
            return ""
        return ", ".join(
            f"name: {name} version: {version.number} due to error: {version.error.code}: {version.error.message}"
            for version in aspired
            if version.error
        )

    def _work(self) -> None:
        while True:
            with self._changed:
                while True:
                    if self._closing:
                        return
                    step, wake = self._next_step()
                    if step:
                        break
                    self._changed.wait(None if wake is None else max(0.0, wake - time.monotonic()))
            step()

    def _next_step(self) -> tuple[Callable[[], None] | None, float | None]:
        """Decides what to do next, or until when to wait."""
        wakes = []
        now = time.monotonic()
        for name, versions in self._models.items():
            for version in versions.values():
                if version.state == UNLOADING and not version.requests:
                    return (lambda chosen=version, model=name: self._unload(model, chosen)), None
            aspired = [version for version in versions.values() if version.aspired]
            stale = [version for version in versions.values() if not version.aspired and version.state == AVAILABLE]
            if stale and (not aspired or any(v.state == AVAILABLE for v in aspired) or len(stale) > 1):
                oldest = min(stale, key=lambda version: version.number)
                oldest.state = UNLOADING
                self._changed.notify_all()
                return (lambda: None), None
            for version in sorted(versions.values(), key=lambda version: -version.number):
                if version.state == LOADING and not version.aspired:  # it waits to be tried again, for nobody
                    version.state = END
                    self._changed.notify_all()
                if version.state not in (START, LOADING):
                    continue
                if version.not_before <= now:
                    version.state = LOADING
                    return (lambda chosen=version, model=name: self._try_to_load(model, chosen)), None
                wakes.append(version.not_before)
        return None, min(wakes, default=None)

    def _try_to_load(self, name: str, version: _Version) -> None:
        _logger.info("Loading version %d of model %s", version.number, name)
        try:
            servable, error = self._load(name, version.path), None
        except ServingError as failure:
            servable, error = None, failure
        except Exception as failure:
            _logger.exception("Loading version %d of model %s failed", version.number, name)
            servable, error = None, Internal(f"{type(failure).__name__}: {failure}")
        with self._changed:
            version.attempts += 1
            if servable is not None:
                version.servable, version.state, version.error = servable, AVAILABLE, None
                _logger.info("Version %d of model %s is available", version.number, name)
            else:
                version.error = error
                if version.attempts > self._max_retries or not version.aspired:
                    version.state = END
                    _logger.error("Version %d of model %s cannot be loaded: %s", version.number, name, error)
                else:
                    version.not_before = time.monotonic() + self._retry_interval
                    _logger.warning("Version %d of model %s will be tried again: %s", version.number, name, error)
            self._changed.notify_all()

    def _unload(self, name: str, version: _Version) -> None:
        servable, version.servable = version.servable, None
        try:
            if servable:
                servable.close()
        except Exception:
            _logger.exception("Unloading version %d failed", version.number)
        with self._changed:
            version.state = START if version.aspired else END  # START: it came back while it was lent or closed
            version.attempts = 0
            _logger.info("Version %d of model %s is unloaded", version.number, name)
            self._changed.notify_all()
