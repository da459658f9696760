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

_REQUESTS = ":tensorflow:serving:request_count"
_EXAMPLES = ":tensorflow:serving:request_example_count_total"
_WARM_UP_RECORDS = ":tensorflow:serving:model_warmup_records_read"
_LOADS = ":tensorflow:cc:saved_model:load_attempt_count"
_LOAD_TIME = ":tensorflow:cc:saved_model:load_latency"
_BATCHES = ":tensorflow:serving:batching_session:wrapped_run_count"
_COUNTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (_REQUESTS, "Requests.", ("model_name", "status")),
    (_EXAMPLES, "tf.Examples.", ("model",)),
    (_WARM_UP_RECORDS, "Warm-up records.", ("model_path", "status")),
    (_LOADS, "Loads.", ("model_path", "status")),
    (_LOAD_TIME, "Time spent on loading, in microseconds.", ("model_path",)),
    (_BATCHES, "Batches run.", ()),
)

_REQUEST_LATENCY = ":tensorflow:serving:request_latency"
_RUNTIME_LATENCY = ":tensorflow:serving:runtime_latency"
_EXAMPLE_COUNTS = ":tensorflow:serving:request_example_counts"
_WARM_UP_LATENCY = ":tensorflow:serving:model_warmup_latency"
_QUEUING_LATENCY = ":tensorflow:serving:batching_session:queuing_latency"
_BATCH_SIZE = ":tensorflow:serving:batching_session:processed_batch_size"
_PADDING_SIZE = ":tensorflow:serving:batching_session:padding_size"
_SIGNATURE_LATENCY = ":charflow:serving:signature_latency"
_HISTOGRAMS: tuple[tuple[str, str, tuple[str, ...], list[float]], ...] = (
    (
        _REQUEST_LATENCY,
        "Wall time of a request, in microseconds.",
        ("model_name", "API", "entrypoint"),
        _LATENCY,
    ),
    (
        _RUNTIME_LATENCY,
        "Wall time of the TensorFlow runtime, in microseconds.",
        ("model_name", "API", "runtime"),
        _LATENCY,
    ),
    (_EXAMPLE_COUNTS, "tf.Examples of a request.", ("model",), _SIZES),
    (
        _WARM_UP_LATENCY,
        "Wall time of the warm-up of a version, in microseconds.",
        ("model_path", "status"),
        _LATENCY,
    ),
    (
        _QUEUING_LATENCY,
        "Time the first request of a batch waited, in microseconds.",
        ("thread_pool_name",),
        _QUEUING,
    ),
    (_BATCH_SIZE, "Rows of a batch, padding included.", ("thread_pool_name",), _SIZES),
    (_PADDING_SIZE, "Rows of padding in a batch.", ("thread_pool_name",), [0.0, *_SIZES]),
    (
        _SIGNATURE_LATENCY,
        "Wall time of the successful requests of a signature, in microseconds.",
        ("model_name", "version", "signature_name", "API", "entrypoint"),
        _LATENCY,
    ),
)


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
        self._counts = {name: _Counts(name, help_, labels, self._registry) for name, help_, labels in _COUNTS}
        self._histograms = {
            name: Histogram(name, help_, labels, registry=self._registry, buckets=buckets)
            for name, help_, labels, buckets in _HISTOGRAMS
        }

    def request(self, *, model: str, api: str, entrypoint: str, status: str, seconds: float) -> None:
        """Reports a request that ended; the latency counts the successful ones, as in TensorFlow Serving."""
        self._counts[_REQUESTS].add(model, status)
        if status == "OK":
            self._histograms[_REQUEST_LATENCY].labels(model, api, entrypoint).observe(seconds * 1e6)

    def signature(self, *, model: str, version: int, signature: str, api: str, entrypoint: str, seconds: float) -> None:
        """Reports which version and signature answered."""
        self._histograms[_SIGNATURE_LATENCY].labels(model, str(version), signature, api, entrypoint).observe(
            seconds * 1e6
        )

    def runtime(self, *, model: str, api: str, seconds: float) -> None:
        """Reports a run of the graph."""
        self._histograms[_RUNTIME_LATENCY].labels(model, api, "TF1").observe(seconds * 1e6)

    def examples(self, *, model: str, count: int) -> None:
        """Reports how many tf.Examples a request had."""
        self._histograms[_EXAMPLE_COUNTS].labels(model).observe(count)
        self._counts[_EXAMPLES].add(model, amount=count)

    def load(self, *, path: str, status: str, seconds: float) -> None:
        """Reports an attempt to load a version."""
        self._counts[_LOADS].add(path, status)
        self._counts[_LOAD_TIME].add(path, amount=round(seconds * 1e6))

    def warmup(self, *, path: str, status: str, records: int, seconds: float) -> None:
        """Reports a warm-up."""
        self._histograms[_WARM_UP_LATENCY].labels(path, status).observe(seconds * 1e6)
        self._counts[_WARM_UP_RECORDS].add(path, status, amount=records)

    def batch(self, *, pool: str, rows: int, padding: int, waited: float) -> None:
        """Reports a batch that is about to run."""
        self._histograms[_QUEUING_LATENCY].labels(pool).observe(waited * 1e6)
        self._histograms[_BATCH_SIZE].labels(pool).observe(rows + padding)
        self._histograms[_PADDING_SIZE].labels(pool).observe(padding)
        self._counts[_BATCHES].add()

    def text(self) -> bytes:
        """Prints all of them in Prometheus' text format."""
        text = generate_latest(self._registry).decode()
        for name in self._counts:
            text = re.sub(rf"^# (HELP|TYPE) {name}_total ", rf"# \1 {name} ", text, flags=re.MULTILINE)
        return text.encode()
