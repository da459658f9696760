"""No request hurts anyone but its sender.

A hostile client does its worst on both doors of a server that joins requests into batches, while a bystander in another
process calls it all the time. The server goes on answering the bystander rightly and soon (its p99 stays below ten
times the quiet one, though the attackers' own work takes from the same cores), says 4xx and not 5xx to what the client
did wrong, gives its memory back, writes a bounded log, and ends in time.

Legal requests are no attack: a completion of 4,096 characters holds one of the threads that run batches for a second,
and who shares its batch waits for it. So the server has more of those threads than there are senders.

CHARFLOW_HOSTILE_REQUESTS sets how many generated requests are sent; without it they are 3,000, and 20,000 where
CHARFLOW_THOROUGH is set. Everything stays on the loopback interface. With `-s` the report is shown.
"""

import collections
import contextlib
import gzip
import http.client
import itertools
import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2

from charflow.model.decoding.settings import SETTINGS
from tests.serving.processes.hostile_requests import STATE_SIZE, generated_calls, generated_posts
from tests.serving.processes.server_process import ServerProcess, command_of, free_ports, spec_of
from tests.support import THOROUGH

REQUESTS = int(os.environ.get("CHARFLOW_HOSTILE_REQUESTS", "20000" if THOROUGH else "3000"))
SEED = 20_000
SENDERS = 6  # threads of generated requests, half of them on each door
DESCRIPTORS = 400  # that the server may open
SLOW, IDLE = 40, 500  # connections that say something now and then, and that say nothing
QUIET_SECONDS = 4.0  # some 200 calls of the bystander
FLOOR = 0.25  # seconds of the bystander's p99 that are no failure: two test processes share two cores
MEMORY = 300 * 2**20  # bytes above the start that may stay
LOG = 200_000  # bytes
DRAIN_SECONDS = 35.0  # the 30 s that the server gives calls, and a little
PREDICT = "/tensorflow.serving.PredictionService/Predict"
CLIENTS_FAULT = {  # and what a server that is asked too much may say
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "CANCELLED",
}
HTTP_CLIENTS_FAULT = {400, 404, 405, 408, 409, 413, 414, 429, 431, 501, 503, 504}  # 501: JSON has no such type
CONFIG = """
model_config_list {{
  config {{ name: "chat" base_path: "{models}/chat" model_platform: "tensorflow" }}
  config {{ name: "half_plus_two" base_path: "{models}/half_plus_two" model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 123 }} }} }}
  config {{ name: "words" base_path: "{models}/words" model_platform: "tensorflow" }}
  config {{ name: "shapes" base_path: "{models}/shapes" model_platform: "tensorflow" }}
  config {{ name: "slow" base_path: "{models}/slow" model_platform: "tensorflow" }}
}}
"""


class Enemy:
    """Sends what it is told to, and counts what comes back.

    Attributes:
        codes: how often each came, gRPC names and HTTP numbers.
        wrong: answers that blame the server, with what was sent.
    """

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.codes: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self.channel = grpc.insecure_channel(server.grpc, [*options, ("grpc.use_local_subchannel_pool", 1)])
        # Before others hold all connections that the door has: who comes later has to wait for theirs to be cut.
        grpc.channel_ready_future(self.channel).result(60)

    def call(self, method: str, message: bytes, *, timeout: float = 60) -> str:
        """Sends a gRPC message; returns the code."""
        code, details = "OK", ""
        try:
            self.channel.unary_unary(method)(message, timeout=timeout)
        except grpc.RpcError as error:
            code, details = error.code().name, error.details()
        self.codes[code] += 1
        if code != "OK" and code not in CLIENTS_FAULT:
            self.wrong.append(f"{method} {message[:300]!r}: {code} {details[:300]}")
        return code

    def predict(self, model: str, signature: str, **inputs: Any) -> str:
        """Sends a Predict; inputs are protos or what becomes one."""
        request = predict_pb2.PredictRequest(model_spec=spec_of(model, signature=signature))
        for name, value in inputs.items():
            proto = value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
            request.inputs[name].CopyFrom(proto)
        return self.call(PREDICT, request.SerializeToString())

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None, *, method: str = "POST") -> int:
        """Sends one REST request on a connection of its own; returns the status."""
        connection = http.client.HTTPConnection(self.server.rest, timeout=60)
        try:
            return self.send(connection, method, path, body, headers or {})
        finally:
            connection.close()

    def send(self, connection: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
        """Sends a REST request on a connection."""
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, http.client.HTTPException):  # cut while it was sending what is too much
            connection.close()
            self.codes["cut"] += 1
            return 0
        self.codes[str(status)] += 1
        if status >= 300 and status not in HTTP_CLIENTS_FAULT:
            self.wrong.append(f"{method} {path} {headers} {body[:300]!r}: {status} {text[:300]!r}")
        return status


def tensor(dtype: int, shape: list[int], **values: Any) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype, **values)
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def send_ranks(enemy: Enemy) -> None:
    """Every number of dimensions around what NumPy, TensorFlow and the parsers take, for texts and for numbers."""
    for rank in (0, 2, 5, 8, 9, 31, 32, 33, 34, 48, 63, 64, 65, 100, 254, 255, 256, 900, 1100, 5000):
        texts, floats = (
            tensor(types_pb2.DT_STRING, [1] * rank, string_val=[b"a"]),
            tensor(types_pb2.DT_FLOAT, [1] * rank, float_val=[1.0]),
        )
        enemy.predict("chat", "", prompt=texts)
        enemy.predict("chat", "score", text=texts)
        enemy.predict("words", "", words=texts)
        enemy.predict("half_plus_two", "", x=floats)
        enemy.predict("shapes", "", x=floats)
        for model, value in (("chat", '"a"'), ("words", '"a"'), ("half_plus_two", "1.0"), ("shapes", "1.0")):
            lists = "[" * rank + value + "]" * rank
            enemy.post(f"/v1/models/{model}:predict", f'{{"instances":[{lists}]}}'.encode())
            enemy.post(f"/v1/models/{model}:predict", f'{{"inputs":{lists}}}'.encode())
        objects = '{"a":' * rank + "1" + "}" * rank
        enemy.post("/v1/models/half_plus_two:predict", f'{{"instances":{objects}}}'.encode())
        enemy.post("/v1/models/half_plus_two:classify", f'{{"examples":[{objects}]}}'.encode())


def send_sizes(enemy: Enemy) -> None:
    """Shapes without values, values that stand for many, and products of rows and characters."""
    for shape in ([2**62], [2**31, 2**31, 2**31], [2**40, 0], [0, 2**40], [2**26], [-1], [-(2**63)], [2**63 - 1, 2]):
        enemy.predict("half_plus_two", "", x=tensor(types_pb2.DT_FLOAT, shape, float_val=[1.0]))
        enemy.predict("chat", "", prompt=tensor(types_pb2.DT_STRING, shape, string_val=[b"a"]))
        enemy.predict("chat", "stream", prompt=["a"], state=tensor(types_pb2.DT_FLOAT, shape, float_val=[1.0]))
    enemy.predict("chat", "", prompt=tensor(types_pb2.DT_STRING, [1000], string_val=[b"a" * 2**20]))
    enemy.predict("chat", "", prompt=tensor(types_pb2.DT_STRING, [2**20], string_val=[b""]))
    enemy.predict("chat", "score", text=np.array([b"a" * 4096, *[b""] * 200_000], object))
    enemy.predict("chat", "score", text=[b"a" * 2**24])
    rows = b'{"signature_name":"next_char","instances":[' + b",".join([b'""'] * 300_000) + b"]}"
    enemy.post("/v1/models/chat:predict", rows)
    longest = {"max_chars": np.full(20_000, 4096, np.int32), "stop_at_end": np.zeros(20_000, bool)}
    enemy.predict("chat", "generate", prompt=[""] * 20_000, **longest)


def send_compressed(enemy: Enemy) -> None:
    """Bodies that grow a thousandfold, or that are small and make much."""
    gzipped = {"Content-Encoding": "gzip"}
    for fill in (b" ", b"[],", b"{},", b'{"a":1},', b"[0],", b"1,", b"0.5,", b'"",', b"["):
        body = b'{"instances":[' + fill * (100_000_000 // len(fill)) + b"1]}"
        enemy.post("/v1/models/half_plus_two:predict", gzip.compress(body, 1), gzipped)
        enemy.post("/v1/models/half_plus_two:predict", body[:20_000_000] + b"1]}")
    ragged = b'{"instances":[' + b",".join([b"[1.5,2.5]", b"[1.5]"] * 300_000) + b"]}"
    enemy.post("/v1/models/half_plus_two:predict", ragged)
    enemy.post("/v1/models/half_plus_two:predict", gzip.compress(gzip.compress(ragged)), gzipped)
    enemy.post("/v1/models/half_plus_two:predict", gzip.compress(ragged)[:-9], gzipped)


def send_odd_numbers(enemy: Enemy) -> None:
    """NaN and infinity in every float there is, beside calls of the bystander that join the same batches."""
    settings: dict[str, Any] = {"prompt": ["a"], "max_chars": np.int32([5])}
    for value in (np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-45):
        for name in [setting.name for setting in SETTINGS if setting.dtype == "float32"]:
            assert enemy.predict("chat", "generate", **{**settings, name: np.float32([value])}) == "OK"
        state = np.full([1, STATE_SIZE], value, np.float32)
        assert enemy.predict("chat", "stream", **settings, state=state) == "OK"
        enemy.predict("half_plus_two", "", x=np.float32([[value]]))
        enemy.predict("shapes", "", x=np.full([1, 3], value, np.float32))
    for seed in (-(2**63), 2**63 - 1):
        assert enemy.predict("chat", "generate", **settings, seed=np.int64([seed])) == "OK"


def send_and_leave(enemy: Enemy) -> None:
    """Calls that are cancelled, connections that go in the middle of everything."""
    request = predict_pb2.PredictRequest(model_spec=spec_of("chat", signature="generate"))
    request.inputs["prompt"].CopyFrom(tf.make_tensor_proto(["a"]))
    request.inputs["max_chars"].CopyFrom(tf.make_tensor_proto(np.int32([500])))
    request.inputs["stop_at_end"].CopyFrom(tf.make_tensor_proto([False]))
    data = request.SerializeToString()
    call = enemy.channel.unary_unary(PREDICT)
    futures = [call.future(data, timeout=0.001 * (number % 40 + 1)) for number in range(100)]
    futures += [call.future(data, timeout=30) for _ in range(200)]
    for future in futures[100:]:
        future.cancel()
    body = b'{"instances":["a"]}'
    head = b"POST /v1/models/chat:predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    for number in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", enemy.server.rest_api_port)) as sock:
            whole = head % len(body) + body
            sock.sendall(whole[: len(whole) - number % 30])
    with contextlib.suppress(OSError):
        for port in (enemy.server.port, enemy.server.rest_api_port):
            for junk in (
                b"\0" * 100,
                b"\x16\x03\x01" * 50,
                b"GET / HTTP/9.9\r\n\r\n",
                b"A" * 100_000,
                b"PRI * HTTP/2.0",
            ):
                with socket.create_connection(("127.0.0.1", port)) as sock:
                    sock.sendall(junk)


@contextlib.contextmanager
def occupied(server: ServerProcess) -> Iterator[None]:
    """Holds connections that send a head or a body byte by byte, and many more that send nothing."""
    ending = threading.Event()
    slow: list[socket.socket] = []
    idle: list[socket.socket] = []
    for number in range(SLOW + IDLE):
        port = server.rest_api_port if number % 2 else server.port
        with contextlib.suppress(OSError):
            (slow if number < SLOW else idle).append(socket.create_connection(("127.0.0.1", port), timeout=1))
    starts = [b"POST /v1/models/chat:predict HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"]

    def drip() -> None:
        for number, sock in enumerate(slow):
            with contextlib.suppress(OSError):
                sock.sendall(starts[number % 2])
        while not ending.wait(1.0):
            for sock in slow:
                with contextlib.suppress(OSError):
                    sock.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        for sock in [*slow, *idle]:
            sock.close()


def send_generated(enemy: Enemy, count: int) -> None:
    """Sends generated requests, half of them on each door, from several threads."""
    share = count // SENDERS

    def calls(seed: int) -> None:
        for method, message in itertools.islice(generated_calls(random.Random(seed)), share):
            enemy.call(method, message)

    def posts(seed: int) -> None:
        connection = http.client.HTTPConnection(enemy.server.rest, timeout=60)
        for method, path, body, headers in itertools.islice(generated_posts(random.Random(seed)), share):
            enemy.send(connection, method, path, body, headers)
        connection.close()

    threads = [
        threading.Thread(target=(calls, posts)[number % 2], args=(SEED + number,), daemon=True)
        for number in range(SENDERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Bystander:
    """The process of `bystander.py`."""

    def __init__(self, server: ServerProcess) -> None:
        request = predict_pb2.PredictRequest(model_spec=spec_of("chat", signature="generate"))
        request.inputs["prompt"].CopyFrom(tf.make_tensor_proto(["how do "]))
        request.inputs["max_chars"].CopyFrom(tf.make_tensor_proto(np.int32([5])))
        command = [sys.executable, str(Path(__file__).with_name("bystander.py")), server.grpc, server.rest]
        arguments = [request.SerializeToString().hex(), "/v1/models/half_plus_two:predict", '{"instances": [1.0, 2.0]}']
        self._process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "calling\n"

    def report(self) -> dict[str, Any]:
        """Ends it; what it saw."""
        said, _ = self._process.communicate(timeout=90)
        return json.loads(said)


def memory_of(server: ServerProcess, field: str = "VmRSS") -> int:
    """Bytes of memory that a process has, or had at most (VmHWM)."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


@pytest.fixture
def attacked(models: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with batching, and few descriptors."""
    config, batching = tmp_path / "models.config", tmp_path / "batching.config"
    config.write_text(CONFIG.format(models=models))
    batching.write_text(
        "max_batch_size { value: 32 } batch_timeout_micros { value: 1000 } max_enqueued_batches { value: 100 }"
        f"num_batch_threads {{ value: {SENDERS + 2} }}"
    )
    port, rest_api_port = free_ports(2)
    flags = [f"--port={port}", f"--rest_api_port={rest_api_port}", f"--model_config_file={config}"]
    flags += [
        "--enable_batching=true",
        f"--batching_parameters_file={batching}",
        "--enable_grpc_healthcheck_service=true",
    ]
    bounded = ["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh", *command_of("embedded"), *flags]
    server = ServerProcess(bounded, tmp_path / "server.log", port=port, rest_api_port=rest_api_port)
    try:
        yield server.wait_ready()
    finally:
        server.stop(signal.SIGKILL)


def latencies(seen: dict[str, Any], start: float = 0.0, end: float = math.inf) -> np.ndarray:
    """Seconds that each of the bystander's calls took which ran between two times."""
    return np.array([took for began, took in seen["calls"] if began + took > start and began < end])


def p99(seen: dict[str, Any]) -> float:
    return float(np.percentile(latencies(seen), 99))


def figures(took: np.ndarray) -> str:
    """Number, median, p99 and maximum of latencies."""
    if not took.size:
        return "no calls"
    middle, late, most = np.percentile(took, [50, 99, 100]) * 1000
    return f"{len(took)} calls, p50 {middle:.1f}, p99 {late:.1f}, at most {most:.0f} ms"


ATTACKS: dict[str, Callable[[Enemy], None]] = {
    "ranks": send_ranks,
    "sizes": send_sizes,
    "compression": send_compressed,
    "odd numbers": send_odd_numbers,
    "leaving": send_and_leave,
    "generated": lambda enemy: send_generated(enemy, REQUESTS),
}


def test_no_request_hurts_anyone_but_its_sender(attacked: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    quiet_one = Bystander(attacked)
    time.sleep(QUIET_SECONDS)
    quiet, load = quiet_one.report(), os.getloadavg()[0]
    start = memory_of(attacked)
    enemy, bystander = Enemy(attacked), Bystander(attacked)
    phases: dict[str, tuple[float, float]] = {}
    with occupied(attacked):
        for name, attack in ATTACKS.items():
            began = time.monotonic()
            attack(enemy)
            phases[name] = began, time.monotonic()
            assert attacked.process.poll() is None, f"{name} ended the server:\n{attacked.log[-5000:]}"
    seen = bystander.report()
    time.sleep(2)
    end, peak = memory_of(attacked), memory_of(attacked, "VmHWM")
    log = len(attacked.log)
    drained = drain(attacked, enemy)
    with capsys.disabled():
        print(
            f"\n{sum(enemy.codes.values())} requests in {phases['generated'][1] - phases['ranks'][0]:.0f} s\n"
            f"codes: {dict(enemy.codes.most_common())}\n"
            f"memory: {start / 2**20:.0f} MB at the start, {peak / 2**20:.0f} at most, {end / 2**20:.0f} after\n"
            f"bystander, quiet: {figures(latencies(quiet))}; load average {load:.1f}\n"
            f"bystander, attacked: {figures(latencies(seen))}: {p99(seen) / p99(quiet):.1f} times the quiet p99; "
            f"load average {os.getloadavg()[0]:.1f}"
        )
        for name, (began, ended) in phases.items():
            print(f"  {name}, {ended - began:.1f} s: {figures(latencies(seen, began, ended))}")
        print(f"log: {log} bytes; ended {drained:.1f} s after SIGTERM")
    assert not enemy.wrong, "\n".join(enemy.wrong[:10])
    assert not seen["failures"], seen["failures"][:5]
    assert len(seen["answers"]) == 2 and seen["answers"] == quiet["answers"]
    assert p99(seen) < max(10 * p99(quiet), FLOOR)
    assert end < start + MEMORY
    assert log < LOG, attacked.log[:5000]
    assert drained < DRAIN_SECONDS


def drain(server: ServerProcess, enemy: Enemy) -> float:
    """Sends SIGTERM while calls run and bodies are half sent; seconds until the process ended, rightly."""
    slow = predict_pb2.PredictRequest(model_spec=spec_of("slow"))
    slow.inputs["seconds"].CopyFrom(tf.make_tensor_proto(np.float32([600])))
    running = [enemy.channel.unary_unary(PREDICT).future(slow.SerializeToString(), timeout=900) for _ in range(4)]
    with socket.create_connection(("127.0.0.1", server.rest_api_port)) as half:
        half.sendall(b"POST /v1/models/chat:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
        time.sleep(1)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_end(DRAIN_SECONDS + 10) == 0, server.log[-3000:]
    assert all(future.code() != grpc.StatusCode.OK for future in running)
    return time.monotonic() - began
