"""Which models are served from where, and what their labels stand for; replaced while the server runs.

`server` reads it from flags and files, `grpc.services` takes a new one from a caller; `sources` reads what it says, and
`models` is told which versions should be served.
"""

import logging
import threading
from collections.abc import Callable

from tensorflow_serving.config import model_server_config_pb2

from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.models import Models
from charflow.serving.embedded.core.sources import ModelSource, NoVersionsError, find_versions, read_sources
from charflow.serving.embedded.core.spec import ModelSpec
from charflow.serving.errors import Aborted, Cancelled, DeadlineExceeded, FailedPrecondition, InvalidArgument

_logger = logging.getLogger(__name__)

_EARLY_LABELS = "--allow_version_labels_for_unavailable_models"


class Configuration:
    """The models that should be served; every method may be called from any thread."""

    def __init__(self, models: Models, *, labels_for_unavailable: bool = False) -> None:
        """Starts with no model: `reload` or `apply` names them.

        Args:
            models: keeps the versions.
            labels_for_unavailable: a new label may name a version that is not loaded yet.
        """
        self._models, self._labels_for_unavailable = models, labels_for_unavailable
        self._sources: dict[str, ModelSource] = {}
        self._reloading = threading.Lock()
        self._aspiring = threading.Lock()
        self._empty: dict[ModelSource, str] = {}  # why a source has no version to serve, as it was logged

    def reload(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        *,
        deadline: Deadline = NEVER,
        is_awaited: Callable[[], bool] = lambda: True,
    ) -> None:
        """Replaces the configuration, and waits until the models that are new can be asked.

        Args:
            config: the new one.
            deadline: when to wait no longer; the new configuration stays.
            is_awaited: asked now and then whether anybody still waits.

        Raises:
            InvalidArgument, FailedPrecondition: as `apply`; the old one stays.
            DeadlineExceeded: not in time; it names the models, and why.
            Aborted: a later configuration took a model out again.
            Cancelled: nobody waits any more, or the server ends.
            ServingError: a new model cannot be loaded.
        """
        new = self.apply(config)

        def awaited() -> set[str]:
            if gone := new - self._sources.keys():
                raise Aborted(f"A later configuration took out what was awaited: {', '.join(sorted(gone))}")
            if not is_awaited():
                raise Cancelled("The caller gave up")
            return new

        try:
            self._models.wait(awaited, deadline=deadline)
        except DeadlineExceeded as error:
            missing = [self._missing(name) for name in sorted(new) if not self._models.available(name)]
            raise DeadlineExceeded(f"{error.message}: {'; '.join(missing)}") from None

    def await_models(self) -> None:
        """Waits until all models of the configuration can be asked, also of one that is applied meanwhile.

        Raises:
            ServingError: a model has versions, and none can be loaded.
            Cancelled: the server ends.
        """
        self._models.wait(self.names)

    def apply(self, config: model_server_config_pb2.ModelServerConfig) -> set[str]:
        """Replaces the configuration, and returns the names of the models that are new without waiting for them.

        Raises:
            InvalidArgument: the configuration is wrong; the old one stays.
            FailedPrecondition: a label names a version that is not available; the old one stays.
        """
        with self._reloading:
            if config.WhichOneof("config") is None:
                return set()  # TensorFlow Serving takes no action for an empty configuration
            sources = read_sources(config)
            self._check_labels(sources)
            for source in sources.values():
                if source.labels:
                    labels = ", ".join(f"{label} = {number}" for label, number in sorted(source.labels.items()))
                    _logger.info("Labels of model %s: %s", source.name, labels)
            gone = set(self._sources) - set(sources)
            new = set(sources) - set(self._sources)
            with self._aspiring:
                self._sources = sources
                for name in gone:
                    self._models.aspire(name, {})
            self.look_for_versions()
        return new

    def look_for_versions(self) -> None:
        """Looks into the base paths; one that cannot be read changes nothing."""
        for source in list(self._sources.values()):
            try:
                versions, empty = find_versions(source), None
            except NoVersionsError as error:
                versions, empty = {}, error
            with self._aspiring:  # what was found for a source that is gone by now counts no more
                if self._sources.get(source.name) is not source:
                    continue
                self._tell_emptiness(source, str(empty) if empty else "")
                if empty is None or empty.read:
                    self._models.aspire(source.name, versions)

    def names(self) -> list[str]:
        """Names the models that are configured."""
        return list(self._sources)

    def version_of(self, spec: ModelSpec) -> int | None:
        """The version that a request names, or its label stands for; None for the highest that is available.

        Raises:
            InvalidArgument: nobody gave that label.
        """
        if spec.label is None:
            return spec.version
        source = self._sources.get(spec.name)
        if source is None or spec.label not in source.labels:
            raise InvalidArgument(f"Unrecognized servable version label: {spec.label}")
        return source.labels[spec.label]

    def _tell_emptiness(self, source: ModelSource, reason: str) -> None:
        """Logs once why a base path has nothing to serve, and again when the reason changes or after it had."""
        if reason and self._empty.get(source) != reason:
            _logger.warning("Model %s: %s %s. Waiting for a version", source.name, source.base_path, reason)
        told = {other: why for other, why in self._empty.items() if self._sources.get(other.name) is other}
        self._empty = {**told, source: reason}

    def _missing(self, name: str) -> str:
        """Says why a model cannot be asked yet."""
        source = self._sources.get(name)
        if source and (reason := self._empty.get(source)):
            return f"{name}: {source.base_path} {reason}"
        found = self._models.statuses(name)
        return f"{name}: " + ", ".join(
            f"version {status.version} is {status.state}" + (f" ({status.message})" if status.message else "")
            for status in found
        )

    def _check_labels(self, sources: dict[str, ModelSource]) -> None:
        for source in sources.values():
            available = self._models.available(source.name)
            old = self._sources[source.name].labels if source.name in self._sources else {}
            for label, number in source.labels.items():
                new_label = old.get(label, number) == number
                if number not in available and not (self._labels_for_unavailable and new_label):
                    advice = f"; {_EARLY_LABELS} lets a new label wait for its version" if new_label else ""
                    raise FailedPrecondition(
                        f"Request to assign label to version {number} of model {source.name}, "
                        f"which is not currently available for inference{advice}"
                    )
