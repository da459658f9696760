"""The server without its doors: models, versions and labels, tensors in and out, typed errors.

`grpc.services` and `rest.app` turn their calls into these; `configuration` says what a label stands for, `models` lends
the version, `inference` asks it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tensorflow.core.protobuf import meta_graph_pb2

from charflow.serving.embedded.core import inference
from charflow.serving.embedded.core.configuration import Configuration
from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.inference import Feed, Loaded
from charflow.serving.embedded.core.metrics import Metrics
from charflow.serving.embedded.core.models import Models
from charflow.serving.embedded.core.spec import Answer, Classification, ModelSpec, Regression
from charflow.serving.errors import (
    Internal,
    InvalidArgument,
    NotFound,
    ServingError,
)
from charflow.serving.version_status import VersionStatus

T = TypeVar("T")


class Core:
    """Answers calls; every method may be called from any thread.

    Attributes:
        configuration: which models are served.
    """

    def __init__(self, models: Models, metrics: Metrics, *, labels_for_unavailable: bool = False) -> None:
        """Starts with no model: the configuration names them.

        Args:
            models: keeps the versions.
            metrics: is told what happens.
            labels_for_unavailable: a new label may name a version that is not loaded yet.
        """
        self._models, self._metrics = models, metrics
        self.configuration = Configuration(models, labels_for_unavailable=labels_for_unavailable)

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
        return name if name in self.configuration.names() else ""

    @contextmanager
    def _lease(self, spec: ModelSpec) -> Iterator[tuple[int, Loaded]]:
        if not spec.name:
            raise InvalidArgument("ModelSpec has no name specified")
        with self._models.lease(spec.name, self.configuration.version_of(spec)) as leased:
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
