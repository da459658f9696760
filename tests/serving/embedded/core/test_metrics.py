"""The text Prometheus reads: names, labels, buckets and values as TensorFlow Serving has them."""

import re
from collections.abc import Callable

import pytest

from charflow.serving.embedded.core.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def lines(metrics: Metrics, name: str) -> dict[str, float]:
    """The samples whose name begins so, by name and labels."""
    found = {}
    for line in metrics.text().decode().splitlines():
        if line.startswith(f":{name}"):
            sample, value = line.rsplit(" ", 1)
            found[sample] = float(value)
    return found


def report(metrics: Metrics) -> None:
    metrics.request(model="m", api="Predict", entrypoint="GRPC", status="OK", seconds=0.001)
    metrics.runtime(model="m", api="Predict", seconds=0.001)
    metrics.examples(model="m", count=3)
    metrics.load(path="/m/1", status="success", seconds=0.5)
    metrics.warmup(path="/m/1", status="OK", records=7, seconds=0.25)
    metrics.batch(pool="batch_threads", rows=3, padding=1, waited=0.002)
    metrics.signature(model="m", version=1, signature="s", api="Predict", entrypoint="REST", seconds=0.001)


def test_text_types_each_metric_under_its_own_name(metrics: Metrics) -> None:
    report(metrics)
    types = dict(re.findall(r"^# TYPE (\S+) (\w+)$", metrics.text().decode(), re.MULTILINE))
    assert types == {
        ":tensorflow:serving:request_count": "counter",
        ":tensorflow:serving:request_latency": "histogram",
        ":tensorflow:serving:runtime_latency": "histogram",
        ":tensorflow:serving:request_example_counts": "histogram",
        ":tensorflow:serving:request_example_count_total": "counter",
        ":tensorflow:serving:model_warmup_latency": "histogram",
        ":tensorflow:serving:model_warmup_records_read": "counter",
        ":tensorflow:cc:saved_model:load_attempt_count": "counter",
        ":tensorflow:cc:saved_model:load_latency": "counter",
        ":tensorflow:serving:batching_session:queuing_latency": "histogram",
        ":tensorflow:serving:batching_session:processed_batch_size": "histogram",
        ":tensorflow:serving:batching_session:padding_size": "histogram",
        ":tensorflow:serving:batching_session:wrapped_run_count": "counter",
        ":charflow:serving:signature_latency": "histogram",
    }


def test_each_sample_follows_its_type(metrics: Metrics) -> None:
    report(metrics)
    name = kind = ""
    for line in metrics.text().decode().splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
        elif not line.startswith("#"):
            sample = re.split("[{ ]", line)[0]
            assert sample in (
                [name] if kind == "counter" else [f"{name}{part}" for part in ("_bucket", "_count", "_sum")]
            )


def test_no_metric_has_the_librarys_additions(metrics: Metrics) -> None:
    report(metrics)
    text = metrics.text().decode()
    assert "_created" not in text
    assert set(re.findall(r"\S+_total\b", text)) == {":tensorflow:serving:request_example_count_total"}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("tensorflow:serving:request_latency", 'model_name="m",API="Predict",entrypoint="GRPC"'),
        ("tensorflow:serving:runtime_latency", 'model_name="m",API="Predict",runtime="TF1"'),
        ("tensorflow:serving:request_example_counts", 'model="m"'),
        ("tensorflow:serving:model_warmup_latency", 'model_path="/m/1",status="OK"'),
        ("tensorflow:serving:batching_session:queuing_latency", 'thread_pool_name="batch_threads"'),
        (
            "charflow:serving:signature_latency",
            'model_name="m",version="1",signature_name="s",API="Predict",entrypoint="REST"',
        ),
    ],
)
def test_histogram_has_the_labels_of_tensorflow_serving(name: str, labels: str, metrics: Metrics) -> None:
    report(metrics)
    (sample,) = lines(metrics, f"{name}_count")
    assert sorted(sample[sample.index("{") + 1 : -1].split(",")) == sorted(labels.split(","))


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("tensorflow:serving:request_latency", [10 * 1.8**power for power in range(33)]),
        ("tensorflow:serving:runtime_latency", [10 * 1.8**power for power in range(33)]),
        ("tensorflow:serving:model_warmup_latency", [10 * 1.8**power for power in range(33)]),
        ("tensorflow:serving:batching_session:queuing_latency", [100 * 1.2**power for power in range(52)]),
        ("tensorflow:serving:request_example_counts", [2**power for power in range(15)]),
    ],
)
def test_histogram_has_the_buckets_of_tensorflow_serving(name: str, bounds: list[float], metrics: Metrics) -> None:
    report(metrics)
    found = re.findall(rf'^:{name}_bucket\{{.*le="([^"]+)"', metrics.text().decode(), re.MULTILINE)
    assert [float(bound) for bound in found] == pytest.approx([*bounds, float("inf")])


@pytest.mark.parametrize(
    ("call", "name", "expected"),
    [
        (
            lambda metrics: metrics.request(model="m", api="Predict", entrypoint="GRPC", status="OK", seconds=0.5),
            "tensorflow:serving:request_count",
            {':tensorflow:serving:request_count{model_name="m",status="OK"}': 2},
        ),
        (
            lambda metrics: metrics.examples(model="m", count=3),
            "tensorflow:serving:request_example_count_total",
            {':tensorflow:serving:request_example_count_total{model="m"}': 6},
        ),
        (
            lambda metrics: metrics.examples(model="m", count=3),
            "tensorflow:serving:request_example_counts_sum",
            {':tensorflow:serving:request_example_counts_sum{model="m"}': 6},
        ),
        (
            lambda metrics: metrics.load(path="/m/1", status="fail", seconds=0.5),
            "tensorflow:cc:saved_model:load_attempt_count",
            {':tensorflow:cc:saved_model:load_attempt_count{model_path="/m/1",status="fail"}': 2},
        ),
        (
            lambda metrics: metrics.load(path="/m/1", status="fail", seconds=0.5),
            "tensorflow:cc:saved_model:load_latency",
            {':tensorflow:cc:saved_model:load_latency{model_path="/m/1"}': 1_000_000},
        ),
        (
            lambda metrics: metrics.warmup(path="/m/1", status="OK", records=7, seconds=0.5),
            "tensorflow:serving:model_warmup_records_read",
            {':tensorflow:serving:model_warmup_records_read{model_path="/m/1",status="OK"}': 14},
        ),
        (
            lambda metrics: metrics.warmup(path="/m/1", status="OK", records=7, seconds=0.5),
            "tensorflow:serving:model_warmup_latency_sum",
            {':tensorflow:serving:model_warmup_latency_sum{model_path="/m/1",status="OK"}': 1_000_000},
        ),
        (
            lambda metrics: metrics.runtime(model="m", api="Predict", seconds=0.5),
            "tensorflow:serving:runtime_latency_sum",
            {':tensorflow:serving:runtime_latency_sum{API="Predict",model_name="m",runtime="TF1"}': 1_000_000},
        ),
        (
            lambda metrics: metrics.batch(pool="p", rows=3, padding=1, waited=0.5),
            "tensorflow:serving:batching_session:processed_batch_size_sum",
            {':tensorflow:serving:batching_session:processed_batch_size_sum{thread_pool_name="p"}': 8},
        ),
        (
            lambda metrics: metrics.batch(pool="p", rows=3, padding=1, waited=0.5),
            "tensorflow:serving:batching_session:padding_size_sum",
            {':tensorflow:serving:batching_session:padding_size_sum{thread_pool_name="p"}': 2},
        ),
        (
            lambda metrics: metrics.batch(pool="p", rows=3, padding=1, waited=0.5),
            "tensorflow:serving:batching_session:queuing_latency_sum",
            {':tensorflow:serving:batching_session:queuing_latency_sum{thread_pool_name="p"}': 1_000_000},
        ),
        (
            lambda metrics: metrics.batch(pool="p", rows=3, padding=1, waited=0.5),
            "tensorflow:serving:batching_session:wrapped_run_count",
            {":tensorflow:serving:batching_session:wrapped_run_count": 2},
        ),
    ],
    ids=lambda value: value.rsplit(":", 1)[-1] if isinstance(value, str) else "",
)
def test_report_adds_up_in_microseconds(
    call: Callable[[Metrics], None], name: str, expected: dict[str, float], metrics: Metrics
) -> None:
    call(metrics)
    call(metrics)
    assert lines(metrics, name) == expected


def test_failed_requests_are_counted_and_not_timed(metrics: Metrics) -> None:
    metrics.request(model="m", api="Predict", entrypoint="REST", status="NOT_FOUND", seconds=0.5)
    assert lines(metrics, "tensorflow:serving:request_count") == {
        ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"}': 1
    }
    assert lines(metrics, "tensorflow:serving:request_latency") == {}


def test_labels_are_escaped(metrics: Metrics) -> None:
    metrics.request(model='a"b\n', api="Predict", entrypoint="REST", status="OK", seconds=0)
    assert ':tensorflow:serving:request_count{model_name="a\\"b\\n",status="OK"} 1.0' in metrics.text().decode()


def test_two_servers_count_apart(metrics: Metrics) -> None:
    report(metrics)
    assert lines(Metrics(), "tensorflow:serving:request_count") == {}
