"""Counts and times what the server does, under the names TensorFlow Serving exports to Prometheus.

The core and `models` report to it; the REST door prints it. Names, labels, units (µs) and buckets of the metrics that
begin with :tensorflow: are TensorFlow Serving's (servables/tensorflow/util.cc, batching/batching_session.cc); those
that begin with :charflow: add version and signature.
"""

import re
import threading
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_LATENCY = [10 * 1.8**power for power in range(33)]  # µs, up to 20 minutes
_QUEUING = [100 * 1.2**power for power in range(52)]  # µs, up to a second
_SIZES = [2.0**power for power in range(15)]


class _Counts(Collector):
    """A counter whose name is kept as it is: the library's own would add _total."""

    def __init__(self, name: str, help_: str, labels: Iterable[str], registry: CollectorRegistry) -> None:
        self.name, self._help, self._labels = name, help_, tuple(labels)
        self._values: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()
        registry.register(self)

    def add(self, *labels: str, amount: float = 1) -> None:
        """Counts."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + amount

    def describe(self) -> Iterable[Metric]:
        return [Metric(self.name, self._help, "counter")]

    def collect(self) -> Iterable[Metric]:
        metric = Metric(self.name, self._help, "counter")
        with self._lock:
            values = sorted(self._values.items())
        for labels, value in values:
            metric.add_sample(self.name, dict(zip(self._labels, labels, strict=True)), value)
        return [metric]


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        disable_created_metrics()
        self._registry = CollectorRegistry()

        def histogram(name: str, help_: str, labels: Iterable[str], buckets: list[float]) -> Histogram:
            return Histogram(name, help_, labels, registry=self._registry, buckets=buckets)

        def counts(name: str, help_: str, labels: Iterable[str]) -> _Counts:
            counter = _Counts(name, help_, labels, self._registry)
            self._counts.append(counter)
            return counter

        self._counts: list[_Counts] = []
        self._requests = counts(":tensorflow:serving:request_count", "Requests.", ["model_name", "status"])
        self._request_latency = histogram(
            ":tensorflow:serving:request_latency",
            "Wall time of a request, in microseconds.",
            ["model_name", "API", "entrypoint"],
            _LATENCY,
        )
        self._runtime_latency = histogram(
            ":tensorflow:serving:runtime_latency",
            "Wall time of the TensorFlow runtime, in microseconds.",
            ["model_name", "API", "runtime"],
            _LATENCY,
        )
        self._example_counts = histogram(
            ":tensorflow:serving:request_example_counts", "tf.Examples of a request.", ["model"], _SIZES
        )
        self._examples = counts(":tensorflow:serving:request_example_count_total", "tf.Examples.", ["model"])
        self._warmup_latency = histogram(
            ":tensorflow:serving:model_warmup_latency",
            "Wall time of the warm-up of a version, in microseconds.",
            ["model_path", "status"],
            _LATENCY,
        )
        self._warmup_records = counts(
            ":tensorflow:serving:model_warmup_records_read", "Warm-up records.", ["model_path", "status"]
        )
        self._loads = counts(":tensorflow:cc:saved_model:load_attempt_count", "Loads.", ["model_path", "status"])
        self._load_time = counts(
            ":tensorflow:cc:saved_model:load_latency", "Time spent on loading, in microseconds.", ["model_path"]
        )
        batching = ":tensorflow:serving:batching_session:"
        self._queuing_latency = histogram(
            batching + "queuing_latency",
            "Time the first request of a batch waited, in microseconds.",
            ["thread_pool_name"],
            _QUEUING,
        )
        self._batch_size = histogram(
            batching + "processed_batch_size", "Rows of a batch, padding included.", ["thread_pool_name"], _SIZES
        )
        self._padding_size = histogram(
            batching + "padding_size", "Rows of padding in a batch.", ["thread_pool_name"], [0, *_SIZES]
        )
        self._runs = counts(batching + "wrapped_run_count", "Batches run.", [])
        self._signature_latency = histogram(
            ":charflow:serving:signature_latency",
            "Wall time of the successful requests of a signature, in microseconds.",
            ["model_name", "version", "signature_name", "API", "entrypoint"],
            _LATENCY,
        )

    def request(self, *, model: str, api: str, entrypoint: str, status: str, seconds: float) -> None:
        """Reports a request that ended; the latency counts the successful ones, as in TensorFlow Serving."""
        self._requests.add(model, status)
        if status == "OK":
            self._request_latency.labels(model, api, entrypoint).observe(seconds * 1e6)

    def signature(self, *, model: str, version: int, signature: str, api: str, entrypoint: str, seconds: float) -> None:
        """Reports which version and signature answered."""
        self._signature_latency.labels(model, str(version), signature, api, entrypoint).observe(seconds * 1e6)

    def runtime(self, *, model: str, api: str, seconds: float) -> None:
        """Reports a run of the graph."""
        self._runtime_latency.labels(model, api, "TF1").observe(seconds * 1e6)

    def examples(self, *, model: str, count: int) -> None:
        """Reports how many tf.Examples a request had."""
        self._example_counts.labels(model).observe(count)
        self._examples.add(model, amount=count)

    def load(self, *, path: str, status: str, seconds: float) -> None:
        """Reports an attempt to load a version."""
        self._loads.add(path, status)
        self._load_time.add(path, amount=round(seconds * 1e6))

    def warmup(self, *, path: str, status: str, records: int, seconds: float) -> None:
        """Reports a warm-up."""
        self._warmup_latency.labels(path, status).observe(seconds * 1e6)
        self._warmup_records.add(path, status, amount=records)

    def batch(self, *, pool: str, rows: int, padding: int, waited: float) -> None:
        """Reports a batch that is about to run."""
        self._queuing_latency.labels(pool).observe(waited * 1e6)
        self._batch_size.labels(pool).observe(rows + padding)
        self._padding_size.labels(pool).observe(padding)
        self._runs.add()

    def text(self) -> bytes:
        """Prints all of them in Prometheus' text format."""
        text = generate_latest(self._registry).decode()
        for counter in self._counts:
            text = re.sub(rf"^# (HELP|TYPE) {counter.name}_total ", rf"# \1 {counter.name} ", text, flags=re.MULTILINE)
        return text.encode()
