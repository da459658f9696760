"""Deadlines, signals, kill -9, sockets."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from charflow.benchmarks.machine import processor_seconds
from tests import forked
from tests.serving.processes.server_process import ServerProcess, until
from tests.serving.processes.slow_calls import Call, wait_busy


def is_refused(server: ServerProcess) -> bool:
    if server.process.poll() is not None:  # it is gone, and another test's server may have its port
        return True
    try:
        server.http.get("/v1/models/slow", timeout=1)
    except Exception:
        return True
    return False


def test_long_runs_keep_no_other_call_waiting(server: ServerProcess, binary: str) -> None:
    """More of them than cores run at once, and the others get their share of the cores."""
    if binary != "embedded":
        pytest.skip("TensorFlow Serving runs as many at once as there are cores")
    count = (os.cpu_count() or 1) + 2
    calls = [Call(lambda: server.ask("slow", {"seconds": [50.0]}, timeout=6)) for _ in range(count)]
    wait_busy(server)
    time.sleep(0.5)
    assert server.ask("half_plus_two", {"x": [2.0]}) == {"y": [3.0]}
    assert server.columns("half_plus_two", {"x": [2.0]}) == [3.0]
    assert all(call.is_alive() for call in calls)
    assert {call.result().code().name for call in calls} == {"DEADLINE_EXCEEDED"}


def test_grpc_deadline_ends_the_run(server: ServerProcess) -> None:
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        server.ask("slow", {"seconds": [50.0]}, timeout=0.5)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 5

    def idle() -> bool:
        before = processor_seconds(server.pid)
        time.sleep(0.5)
        return processor_seconds(server.pid) - before < 0.3

    until(idle, "nothing runs any more", seconds=10)


def test_deadlines_free_their_threads(server: ServerProcess) -> None:
    """More slow calls than the server has threads, one after another and side by side, do not wear it out."""
    calls = [Call(lambda: server.ask("slow", {"seconds": [50.0]}, timeout=0.4)) for _ in range(60)]
    codes = {call.result().code().name for call in calls}
    assert codes == {"DEADLINE_EXCEEDED"}
    assert server.ask("slow", {"seconds": [0.0]}, timeout=10) == {"seconds": [0.0]}


def test_caller_that_goes_leaves_the_server_well(server: ServerProcess) -> None:
    with pytest.raises(Exception, match="timed out"):
        server.post("slow:predict", {"instances": [1.0]}, timeout=0.2)
    assert server.columns("slow", {"seconds": [0.0]}) == [0.0]


def test_server_killed_can_be_started_again_on_its_ports(
    start_embedded: Callable[..., ServerProcess], models: Path
) -> None:
    flags = {"model_name": "slow", "model_base_path": models / "slow"}
    killed = start_embedded(**flags)
    over_grpc = Call(lambda: killed.ask("slow", {"seconds": [20.0]}))
    over_rest = Call(lambda: killed.columns("slow", {"seconds": [20.0]}))
    wait_busy(killed)
    killed.process.kill()
    assert over_grpc.result().code() == grpc.StatusCode.UNAVAILABLE
    assert "disconnected" in str(over_rest.result())
    assert killed.process.wait() == -signal.SIGKILL

    again = start_embedded(**flags, port=killed.port, rest_api_port=killed.rest_api_port)
    assert killed.ask("slow", {"seconds": [0.0]}) == {"seconds": [0.0]}  # the old channel finds the new server
    over_grpc = Call(lambda: again.ask("slow", {"seconds": [2.0]}))
    over_rest = Call(lambda: again.columns("slow", {"seconds": [2.0]}))
    wait_busy(again)
    again.process.send_signal(signal.SIGTERM)
    until(lambda: is_refused(again), "no new call is taken")
    assert over_grpc.result() == {"seconds": [2.0]}
    assert over_rest.result() == [2.0]
    assert again.wait_end() == 0
    assert "Traceback" not in again.log


def test_server_answers_504_and_over_its_socket(
    start_embedded: Callable[..., ServerProcess], models: Path, tmp_path: Path
) -> None:
    socket_path = tmp_path / "grpc.sock"
    server = start_embedded(
        model_name="slow", model_base_path=models / "slow", grpc_socket_path=socket_path, rest_api_timeout_in_ms=1500
    )
    began = time.monotonic()
    response = server.post("slow:predict", {"instances": [50.0]})
    assert (response.status_code, time.monotonic() - began < 5) == (504, True)
    assert response.json()["error"]
    assert server.columns("slow", {"seconds": [0.0]}) == [0.0]
    assert server.ask("slow", {"seconds": [0.0]}) == {"seconds": [0.0]}  # the port listens too
    server.connect(f"unix:{socket_path}")
    assert server.ask("slow", {"seconds": [0.5]}) == {"seconds": [0.5]}


HALF = b"POST /v1/models/slow:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{"


def test_signal_ends_the_server_in_time_whatever_runs(
    start_embedded: Callable[..., ServerProcess], models: Path
) -> None:
    """Calls that take longer, bodies that never come, and streams without an end."""
    server = start_embedded(
        model_name="slow",
        model_base_path=models / "slow",
        shutdown_grace_seconds=2,
        rest_api_timeout_in_ms=0,
        enable_grpc_healthcheck_service=True,
    )
    over_grpc = Call(lambda: server.ask("slow", {"seconds": [60.0]}))
    over_rest = Call(lambda: server.post("slow:predict", {"instances": [60.0]}))
    watching = health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
    wait_busy(server)
    with socket.create_connection(("127.0.0.1", server.rest_api_port)) as sending:
        sending.sendall(HALF)
        sending.settimeout(20)
        time.sleep(0.3)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_end(20) == 0
        assert time.monotonic() - began < 12
        assert sending.recv(1000).startswith(b"HTTP/1.1 503 ")
    assert over_grpc.result().code() == grpc.StatusCode.UNAVAILABLE
    answer = over_rest.result()
    assert answer.status_code == 503
    assert answer.json() == {"error": "The server is ending, and the call was not done in time"}
    assert "Traceback" not in server.log


def test_second_signal_ends_the_server_at_once(start_embedded: Callable[..., ServerProcess], models: Path) -> None:
    server = start_embedded(model_name="slow", model_base_path=models / "slow")
    call = Call(lambda: server.ask("slow", {"seconds": [60.0]}))
    wait_busy(server)
    server.process.send_signal(signal.SIGINT)
    until(lambda: "Ending: calls that run have 25 s to finish" in server.log, "it says what it does")
    server.process.send_signal(signal.SIGINT)
    assert server.wait_end(10) == 128 + signal.SIGINT
    assert call.result().code() == grpc.StatusCode.UNAVAILABLE


def test_idle_connections_without_descriptors_stop_neither_door(
    start_embedded: Callable[..., ServerProcess], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limited(command: list[str], **options: Any) -> subprocess.Popen:
        return subprocess.Popen(["bash", "-c", 'ulimit -n 192; exec "$@"', "bash", *command], **options)

    monkeypatch.setattr(forked, "Popen", limited)
    server = start_embedded(model_name="slow", model_base_path=models / "slow")
    with contextlib.ExitStack() as stack:
        for port in (server.port, server.rest_api_port):
            for _ in range(200):
                with contextlib.suppress(OSError):
                    stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        assert server.columns("slow", {"seconds": [0.0]}) == [0.0]
        assert server.ask("slow", {"seconds": [0.0]}) == {"seconds": [0.0]}  # its connection was there before
        assert "No file descriptor is left" not in server.log
    assert "The limit of 192 open files (ulimit -n) leaves" in server.log
