"""A model server in a process of its own, and the raw calls that tests make to it.

The calls go through the official stubs and plain HTTP, not through charflow's client: they see what any client of
TensorFlow Serving sees.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests import forked

PATIENCE = 60.0  # seconds for a server to start, a version to load; the tests end as soon as it has happened
_POLL = 0.05
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
]
_State = get_model_status_pb2.ModelVersionStatus


def command_of(binary: str) -> list[str]:
    """The command line that starts a server; skips the test where there is none."""
    if binary == "embedded":
        return [str(Path(sys.executable).with_name("charflow-model-server"))]
    found = shutil.which(os.environ.get("TENSORFLOW_MODEL_SERVER", ""))
    if not found:
        pytest.skip("no tensorflow_model_server: name its binary in the environment variable TENSORFLOW_MODEL_SERVER")
    return [found]


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def until(condition: Callable[[], Any], what: str, *, seconds: float = PATIENCE) -> Any:
    """Waits until a condition holds, and returns what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(_POLL)
    return found


class ServerProcess:
    """A server that was started.

    Attributes:
        process: it.
        grpc: address of the gRPC door.
        rest: address of the REST door.
        http: a client of the REST door.
        predictions: stub of the prediction service.
        models: stub of the model service.
    """

    def __init__(self, command: list[str], log: Path, *, port: int, rest_api_port: int, real: bool = False) -> None:
        self._log = log
        self.command = command
        self.port, self.rest_api_port = port, rest_api_port
        self.grpc, self.rest = f"127.0.0.1:{port}", f"127.0.0.1:{rest_api_port}"
        with log.open("wb") as file:
            popen = subprocess.Popen if real else forked.Popen
            self.process = popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.connect(self.grpc)
        self.http = httpx.Client(base_url=f"http://{self.rest}", timeout=60, trust_env=False)

    def connect(self, target: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        """Makes the stubs; the tests of sockets and TLS make others."""
        self.channel = (
            grpc.secure_channel(target, credentials, _OPTIONS)
            if credentials
            else grpc.insecure_channel(target, _OPTIONS)
        )
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What it wrote so far, to stdout and stderr."""
        return self._log.read_text(errors="replace")

    def answers(self) -> bool:
        """Tells whether it is ready, as clients of TensorFlow Serving do: it says that it does not know a model."""
        request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name="nobody's model"))
        try:
            self.predictions.Predict(request, timeout=5)
        except grpc.RpcError as error:
            return "Servable" in error.details()
        return False

    def wait_ready(self) -> "ServerProcess":
        """Waits until it answers."""

        def ready() -> bool:
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.log}"
            return self.answers()

        until(ready, "the server answers")
        return self

    def wait_end(self, seconds: float = PATIENCE) -> int:
        """Waits until it has ended by itself; returns its exit status."""
        return self.process.wait(seconds)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end; returns the exit status."""
        self.channel.close()
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(45)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        signature: str = "",
        version: int | None = None,
        label: str | None = None,
        outputs: tuple[str, ...] = (),
        timeout: float = 60,
    ) -> predict_pb2.PredictResponse:
        """Predict over gRPC; inputs are tensors, or protos of tensors."""
        spec = spec_of(model, signature=signature, version=version, label=label)
        request = predict_pb2.PredictRequest(model_spec=spec, output_filter=outputs)
        for name, value in inputs.items():
            proto = value if hasattr(value, "tensor_shape") else tf.make_tensor_proto(value)
            request.inputs[name].CopyFrom(proto)
        return self.predictions.Predict(request, timeout=timeout)

    def ask(self, model: str, inputs: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Predict over gRPC; the outputs as nested lists."""
        return arrays_of(self.predict(model, inputs, **options))

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        """POST under /v1/models/; the body is bytes, or what becomes JSON."""
        form = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.http.post(f"/v1/models/{path}", **form, **options)

    def columns(self, path: str, inputs: Mapping[str, Any], *, signature: str = "serving_default") -> dict[str, Any]:
        """Predict over REST in columns; the outputs by name."""
        response = self.post(f"{path}:predict", {"signature_name": signature, "inputs": inputs})
        assert response.status_code == 200, response.text
        return response.json()["outputs"]

    def status(self, model: str, **spec: Any) -> list[tuple[int, str, str]]:
        """The versions of a model: number, state and error."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec_of(model, **spec))
        answer = self.models.GetModelStatus(request, timeout=10)
        return [
            (status.version, _State.State.Name(status.state), status.status.error_message)
            for status in answer.model_version_status
        ]

    def states(self, model: str) -> dict[int, str]:
        """The state of each version; empty for a model nobody has heard of."""
        try:
            return {version: state for version, state, _ in self.status(model)}
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
            return {}

    def wait_states(self, model: str, expected: Mapping[int, str]) -> None:
        """Waits until the versions are in these states."""
        found: dict[int, str] = {}

        def as_expected() -> bool:
            nonlocal found
            found = self.states(model)
            return found == expected

        deadline = time.monotonic() + PATIENCE
        while not as_expected():
            assert time.monotonic() < deadline, f"{model}: {found}, not {expected}\n{self.log}"
            time.sleep(_POLL)


def spec_of(
    model: str, *, signature: str = "", version: int | None = None, label: str | None = None
) -> model_pb2.ModelSpec:
    """The proto that names a model."""
    spec = model_pb2.ModelSpec(name=model, signature_name=signature)
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


def arrays_of(response: predict_pb2.PredictResponse) -> dict[str, Any]:
    """The outputs as nested lists, texts decoded, bytes that are no UTF-8 as Python escapes them."""
    return {name: _decoded(tf.make_ndarray(proto).tolist()) for name, proto in response.outputs.items()}


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


class Load:
    """Clients that call a server without a pause, from threads of their own, and count what went wrong.

    >>> with Load(lambda: server.ask("a", {"x": [1.0]}), clients=8) as load: ...
    >>> load.failures, load.answers
    """

    def __init__(self, *calls: Callable[[], Any], clients: int) -> None:
        self.answers: list[Any] = []
        self.failures: list[str] = []
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(calls[index % len(calls)],), daemon=True)
            for index in range(clients)
        ]

    def _run(self, call: Callable[[], Any]) -> None:
        while not self._ending.is_set():
            try:
                self.answers.append(call())
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(PATIENCE)


@contextlib.contextmanager
def starting(folder: Path, binary: str = "embedded") -> Iterator[Callable[..., ServerProcess]]:
    """Gives a function that starts servers, which end with the block.

    Its keywords are flags without dashes; `ready=False` does not wait. Ports are free ones unless they are given.
    """
    command = command_of(binary)
    started: list[ServerProcess] = []

    def start(*, ready: bool = True, **flags: Any) -> ServerProcess:
        port, rest_api_port = free_ports(2)
        flags = {"port": port, "rest_api_port": rest_api_port, **flags}
        arguments = [f"--{name}={_text(value)}" for name, value in flags.items()]
        log = folder / f"server-{len(started)}.log"
        server = ServerProcess(
            [*command, *arguments], log, port=flags["port"], rest_api_port=flags["rest_api_port"] or 1
        )
        started.append(server)
        return server.wait_ready() if ready else server

    try:
        yield start
    finally:
        for server in started:
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGTERM)  # all at once: they end side by side
        for server in started:
            server.stop()


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
