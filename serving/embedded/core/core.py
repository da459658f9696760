"""The server without its doors: models, versions and labels, tensors in and out, typed errors.

`grpc.server` and `rest.app` turn their calls into these; `models` lends the version, `inference` asks it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.config import model_server_config_pb2

from charflow.serving.embedded.core import inference
from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.inference import Feed, Loaded
from charflow.serving.embedded.core.metrics import Metrics
from charflow.serving.embedded.core.models import Models
from charflow.serving.embedded.core.sources import ModelSource, NoVersionsError, find_versions, read_sources
from charflow.serving.embedded.core.spec import Answer, Classification, ModelSpec, Regression
from charflow.serving.errors import (
    Aborted,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ServingError,
)
from charflow.serving.version_status import VersionStatus

_logger = logging.getLogger(__name__)

T = TypeVar("T")
_EARLY_LABELS = "--allow_version_labels_for_unavailable_models"


class Core:
    """Answers calls; every method may be called from any thread."""

    def __init__(self, models: Models, metrics: Metrics, *, labels_for_unavailable: bool = False) -> None:
        """Starts with no model: `reload` names them.

        Args:
            models: keeps the versions.
            metrics: is told what happens.
            labels_for_unavailable: a new label may name a version that is not loaded yet.
        """
        self._models, self._metrics, self._labels_for_unavailable = models, metrics, labels_for_unavailable
        self._sources: dict[str, ModelSource] = {}
        self._reloading = threading.Lock()
        self._aspiring = threading.Lock()
        self._empty: dict[ModelSource, str] = {}  # why a source has no version to serve, as it was logged

    def predict(
        self, spec: ModelSpec, feed: Feed, *, outputs: Sequence[str] = (), deadline: Deadline = NEVER, api: str
    ) -> Answer:
        """Runs a signature.

        Args:
            spec: model, version and signature.
            feed: gives the inputs of the signature it is handed, as NumPy arrays; texts are bytes in object arrays.
            outputs: only these; empty for all.
            deadline: when the caller must have its answer.
            api: the door, GRPC or REST.

        Returns:
            The outputs, with the version and signature that made them.

        Raises:
            ServingError: as TensorFlow Serving would answer.
        """

        def ask(number: int, loaded: Loaded) -> Answer:
            name, arrays = inference.predict(loaded, spec.signature, feed, outputs=outputs, deadline=deadline)
            return Answer(outputs=arrays, version=number, signature=name)

        return self._timed(spec, "Predict", api, ask)

    def classify(
        self, spec: ModelSpec, examples: Sequence[bytes], *, deadline: Deadline = NEVER, api: str
    ) -> Classification:
        """Classifies serialised tf.Examples."""

        def ask(number: int, loaded: Loaded) -> Classification:
            name, classes = inference.classify(loaded, spec.signature, examples, deadline=deadline)
            self._metrics.examples(model=spec.name, count=len(examples))
            return Classification(classes=classes, version=number, signature=name)

        return self._timed(spec, "Classify", api, ask)

    def regress(
        self, spec: ModelSpec, examples: Sequence[bytes], *, deadline: Deadline = NEVER, api: str
    ) -> Regression:
        """Gives a value for each serialised tf.Example."""

        def ask(number: int, loaded: Loaded) -> Regression:
            name, values = inference.regress(loaded, spec.signature, examples, deadline=deadline)
            self._metrics.examples(model=spec.name, count=len(examples))
            return Regression(values=values, version=number, signature=name)

        return self._timed(spec, "Regress", api, ask)

    def multi_inference(
        self,
        tasks: Sequence[tuple[ModelSpec, str]],
        examples: Sequence[bytes],
        *,
        deadline: Deadline = NEVER,
        api: str,
    ) -> list[Classification | Regression]:
        """Runs several signatures of one model on the same examples; a task is a spec and a method name."""
        if not tasks:
            raise InvalidArgument("The request has no tasks")
        first = tasks[0][0]
        if any(spec.name != first.name for spec, _ in tasks):
            raise InvalidArgument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")

        def ask(number: int, loaded: Loaded) -> list[Classification | Regression]:
            named = [(spec.signature, method) for spec, method in tasks]
            results: list[Classification | Regression] = []
            for name, method, found in inference.multi_inference(loaded, named, examples, deadline=deadline):
                if method == inference.CLASSIFY:
                    results.append(Classification(classes=found, version=number, signature=name))  # type: ignore[arg-type]
                else:
                    results.append(Regression(values=found, version=number, signature=name))  # type: ignore[arg-type]
            self._metrics.examples(model=first.name, count=len(examples))
            return results

        return self._timed(first, "MultiInference", api, ask)

    def metadata(self, spec: ModelSpec) -> tuple[int, dict[str, meta_graph_pb2.SignatureDef]]:
        """Gives the real version and the signatures it was saved with."""
        with self._lease(spec) as (number, loaded):
            return number, dict(loaded.signature_defs)

    def statuses(self, spec: ModelSpec) -> list[VersionStatus]:
        """Tells where the versions of a model are, highest first, or where the one asked for is; labels are not read.

        Raises:
            NotFound: nobody has heard of them.
        """
        found = self._models.statuses(spec.name)
        if spec.version is not None:
            found = [status for status in found if status.version == spec.version]
            if not found:
                raise NotFound(f"Could not find version {spec.version} of model {spec.name}")
        if not found:
            raise NotFound(f"Could not find any versions of model {spec.name}")
        return found

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
        self._models.wait(self.served)

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

    def served(self) -> list[str]:
        """Names the models of the configuration."""
        return list(self._sources)

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

    def count_refused(self, name: str, error: ServingError, *, method: str = "Predict", api: str) -> None:
        """Counts a request that a door refused before it reached the core; `name` may be any.

        An error that a call of the core ended with is counted already.
        """
        if not error.counted:
            error.counted = True
            self._metrics.request(
                model=self._model_label(name), api=method, entrypoint=api, status=error.code, seconds=0.0
            )

    def _model_label(self, name: str) -> str:
        """A name that is not served could be anything: it must not become a label."""
        return name if name in self._sources else ""

    def _number(self, spec: ModelSpec) -> int | None:
        if spec.label is None:
            return spec.version
        source = self._sources.get(spec.name)
        if source is None or spec.label not in source.labels:
            raise InvalidArgument(f"Unrecognized servable version label: {spec.label}")
        return source.labels[spec.label]

    @contextmanager
    def _lease(self, spec: ModelSpec) -> Iterator[tuple[int, Loaded]]:
        if not spec.name:
            raise InvalidArgument("ModelSpec has no name specified")
        with self._models.lease(spec.name, self._number(spec)) as leased:
            yield leased

    def _timed(
        self,
        spec: ModelSpec,
        method: str,
        api: str,
        ask: Callable[[int, Loaded], T],
    ) -> T:
        began = time.monotonic()
        status, version, signature = "OK", 0, spec.signature or "serving_default"

        try:
            with self._lease(spec) as (number, loaded):
                version = number
                asked = time.monotonic()
                answer = ask(number, loaded)
                self._metrics.runtime(model=spec.name, api=method, seconds=time.monotonic() - asked)
                return answer
        except ServingError as error:
            status, error.counted = error.code, True
            raise
        except Exception:
            status = Internal.code
            raise
        finally:
            seconds = time.monotonic() - began
            model = self._model_label(spec.name)
            self._metrics.request(model=model, api=method, entrypoint=api, status=status, seconds=seconds)
            if status == "OK":
                self._metrics.signature(
                    model=model, version=version, signature=signature, api=method, entrypoint=api, seconds=seconds
                )
