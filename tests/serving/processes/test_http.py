"""What HTTP and gRPC bring along: compression, CORS, metrics, health, reflection."""

import gzip
import json
import re
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.serving.processes.server_process import ServerProcess

METRICS = "/monitoring/prometheus/metrics"


def sample_of(page: str, name: str, **labels: str) -> float:
    """A sample of the metrics page whose labels include these; 0 if it is not there."""
    for found in re.finditer(rf"^{re.escape(name)}\{{(.*)\}} (\S+)$", page, re.MULTILINE):
        if labels.items() <= dict(re.findall(r'([\w]+)="([^"]*)"', found[1])).items():
            return float(found[2])
    return 0.0


def test_rest_takes_and_gives_gzip(server: ServerProcess) -> None:
    rows = [float(number) for number in range(2000)]
    body = gzip.compress(json.dumps({"instances": rows}).encode())
    response = server.post("half_plus_two:predict", body, headers={"Content-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.json() == {"predictions": [row / 2 + 2 for row in rows]}
    plain = server.post("half_plus_two:predict", body, headers={"Content-Encoding": "gzip", "Accept-Encoding": ""})
    assert "Content-Encoding" not in plain.headers
    assert plain.json() == response.json()


def test_grpc_takes_and_gives_gzip(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.grpc, compression=grpc.Compression.Gzip) as channel:
        call = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
        assert call(b"\n\x07\n\x05keras", timeout=10) != b""  # model_spec { name: "keras" }


def test_rest_keeps_connections_open(server: ServerProcess) -> None:
    with server.http.stream("GET", "/v1/models/keras") as first:
        first.read()
        port = first.extensions["network_stream"].get_extra_info("client_addr")
    with server.http.stream("GET", "/v1/models/keras") as second:
        second.read()
        assert second.extensions["network_stream"].get_extra_info("client_addr") == port


def test_rest_answers_without_waiting_for_acknowledgements(server: ServerProcess) -> None:
    """Head and body of an answer are two packets: without TCP_NODELAY the second waits 40 ms on a kept connection."""

    def seconds() -> float:
        began = time.perf_counter()
        server.post("half_plus_two:predict", {"instances": [1.0]})
        return time.perf_counter() - began

    assert min(seconds() for _ in range(20)) < 0.03


def test_rest_allows_pages_of_other_origins(server: ServerProcess) -> None:
    headers = {"Origin": "http://example.com"}
    preflight = server.http.options("/v1/models/keras:predict", headers=headers)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    answer = server.post("half_plus_two:predict", {"instances": [1.0]}, headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert server.http.options("/v1/models/keras:predict").status_code == 400


def test_metrics_count_the_requests(server: ServerProcess) -> None:
    def count(page: str, status: str) -> float:
        return sample_of(page, ":tensorflow:serving:request_count", model_name="words", status=status)

    before = server.http.get(METRICS).text
    for _ in range(3):
        server.ask("words", {"words": ["one"]})
    server.columns("words", {"words": ["one"]})
    assert server.post("words:predict", {"instances": [1]}).status_code == 400
    response = server.http.get(METRICS)
    assert response.headers["Content-Type"].startswith("text/plain")
    page = response.text
    assert count(page, "OK") - count(before, "OK") == 4
    assert count(page, "INVALID_ARGUMENT") - count(before, "INVALID_ARGUMENT") == 1
    for name, labels in [
        ("request_latency", {"model_name": "words", "API": "Predict", "entrypoint": "GRPC"}),
        ("request_latency", {"model_name": "words", "API": "Predict", "entrypoint": "REST"}),
        ("runtime_latency", {"model_name": "words", "API": "Predict"}),
    ]:
        metric = f":tensorflow:serving:{name}"
        assert f"# TYPE {metric} histogram" in page
        ran = sample_of(page, f"{metric}_count", **labels)
        assert ran >= 1
        assert sample_of(page, f"{metric}_bucket", **labels, le="+Inf") == ran
        assert sample_of(page, f"{metric}_sum", **labels) > 0
    buckets = re.findall(r"^:tensorflow:serving:request_latency_bucket\{.*\}", page, re.MULTILINE)
    ours = [bucket for bucket in buckets if '"words"' in bucket and '"GRPC"' in bucket and "+Inf" not in bucket]
    bounds = [re.search(r'le="([^"]*)"', bucket)[1] for bucket in ours]
    assert [float(bound) for bound in bounds] == pytest.approx([10 * 1.8**power for power in range(33)], rel=1e-4)


def test_metrics_are_not_where_names_of_nobody_grow(server: ServerProcess) -> None:
    server.post("a-name-that-nobody-serves:predict", {"instances": [1]})
    assert "a-name-that-nobody-serves" not in server.http.get(METRICS).text


def test_health_service_says_serving(server: ServerProcess) -> None:
    health = health_pb2_grpc.HealthStub(server.channel)
    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_services(server: ServerProcess, binary: str) -> None:
    if binary != "embedded":
        pytest.skip("TensorFlow Serving has no reflection")
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=10)
    assert {service.name for service in answer.list_services_response.service} == {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "grpc.reflection.v1alpha.ServerReflection",
        "grpc.health.v1.Health",
    }
