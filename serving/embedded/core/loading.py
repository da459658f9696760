"""Makes a version ready to serve: loads it, puts the batching in front of it, replays its warm-up.

`models` calls it for every version that should be served.
"""

import time
from dataclasses import dataclass

from tensorflow.core.protobuf import config_pb2

from charflow.serving.embedded.core.batching import BatchedRunner
from charflow.serving.embedded.core.batching_settings import BatchingSettings
from charflow.serving.embedded.core.inference import Loaded
from charflow.serving.embedded.core.metrics import Metrics
from charflow.serving.embedded.core.servable import Runner, Servable
from charflow.serving.embedded.core.step_threads import StepThreads
from charflow.serving.embedded.core.warmup import warm_up
from charflow.serving.errors import ServingError


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """How versions are loaded.

    Attributes:
        tags: of the graph.
        session: configuration of its session.
        threads: run its steps; None for the session's own.
        batching: None runs each request alone.
        warmup: how often the warm-up file is replayed; 0 leaves it out.
    """

    tags: tuple[str, ...] = ("serve",)
    session: config_pb2.ConfigProto | None = None
    threads: StepThreads | None = None
    batching: BatchingSettings | None = None
    warmup: int = 1


class ServedVersion:
    """A version that is ready.

    Attributes:
        loaded: what requests ask.
    """

    def __init__(self, path: str, settings: LoadSettings, metrics: Metrics) -> None:
        """Loads the folder of a version.

        Raises:
            ServingError: it cannot be loaded, or its warm-up fails.
        """
        began = time.monotonic()
        status = "success"
        try:
            self._servable = Servable(path, tags=settings.tags, config=settings.session, threads=settings.threads)
        except ServingError:
            status = "fail"
            raise
        finally:
            metrics.load(path=path, status=status, seconds=time.monotonic() - began)
        self._batched: BatchedRunner | None = None
        try:
            runner: Runner = self._servable
            if settings.batching:
                runner = self._batched = self._put_batching_before(settings.batching, metrics)
            self.loaded = Loaded(self._servable.signatures, runner, self._servable.signature_defs)
            if settings.warmup:
                self._warm_up(path, settings.warmup, metrics)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Frees what the version holds."""
        if self._batched:
            self._batched.close()
        self._servable.close()

    def _put_batching_before(self, settings: BatchingSettings, metrics: Metrics) -> BatchedRunner:
        queues = [
            ([spec.tensor for spec in signature.inputs.values()], [spec.tensor for spec in signature.outputs.values()])
            for signature in self._servable.signatures.values()
            if signature.inputs and signature.outputs
        ]

        def on_batch(rows: int, padding: int, waited: float) -> None:
            metrics.batch(pool=settings.thread_pool_name, rows=rows, padding=padding, waited=waited)

        return BatchedRunner(self._servable, queues, settings, on_batch)

    def _warm_up(self, path: str, iterations: int, metrics: Metrics) -> None:
        began = time.monotonic()
        records, status = 0, "OK"
        try:
            records = warm_up(self.loaded, path, iterations=iterations)
        except ServingError as error:
            status = error.code
            raise
        finally:
            if records or status != "OK":
                seconds = time.monotonic() - began
                metrics.warmup(path=path, status=status, records=records, seconds=seconds)
