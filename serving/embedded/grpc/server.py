"""The gRPC door: where it listens, what callers may take, and how it ends.

`services` answers, `arrivals` and `messages` stand before them; `server` starts it.
"""

import threading
from collections.abc import Sequence
from contextlib import nullcontext

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    model_service_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
)

from charflow.serving.embedded.core.core import Core
from charflow.serving.embedded.grpc.arrivals import Arrivals
from charflow.serving.embedded.grpc.messages import ReadableMessages
from charflow.serving.embedded.grpc.services import ModelServicer, PredictionServicer, count_refused
from charflow.serving.embedded.grpc.unix_socket import UnixSocket
from charflow.serving.errors import InvalidArgument, ResourceExhausted

_BOUNDS: Sequence[tuple[str, int]] = (
    # Milliseconds. A connection that never says anything is cut, and one without a call, which clients open again
    # unnoticed; pings find the peers that are gone without a word.
    ("grpc.server_handshake_timeout_ms", 20_000),
    ("grpc.max_connection_idle_ms", 120_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class GrpcServer:
    """A gRPC server that is not yet listening."""

    def __init__(
        self,
        core: Core,
        *,
        threads: int,
        max_queued: int,
        max_request_bytes: int,
        max_connections: int = 1024,
        options: Sequence[tuple[str, int | str]] = (),
        healthcheck: bool = False,
        as_content: bool = False,
    ) -> None:
        """Makes the server.

        Args:
            core: answers.
            threads: calls that run at the same time.
            max_queued: calls that may wait for a thread; more are refused with RESOURCE_EXHAUSTED.
            max_request_bytes: of a message.
            max_connections: at the same time; more are closed at once.
            options: gRPC channel arguments; they win over the others.
            healthcheck: offers the standard health service.
            as_content: writes tensors as raw bytes instead of typed fields.
        """
        self._arrivals = Arrivals(threads=threads, on_refusal=lambda: count_refused(core, ResourceExhausted("")))
        readable = ReadableMessages(on_refusal=lambda: count_refused(core, InvalidArgument("")))
        self._socket: UnixSocket | None = None
        self._server = grpc.server(
            self._arrivals.pool,
            interceptors=[self._arrivals, readable],
            maximum_concurrent_rpcs=threads + max_queued,
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", max_request_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_allowed_incoming_connections", max_connections),
                *_BOUNDS,
                *options,
            ],
        )
        self._health = health.HealthServicer() if healthcheck else None
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionServicer(core, as_content=as_content), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(core), self._server)
        services = [
            prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name,
            model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
            reflection.SERVICE_NAME,
        ]
        if self._health:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            services.append(health.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server)

    def listen(self, address: str, credentials: grpc.ServerCredentials | None) -> None:
        """Takes an address such as 127.0.0.1:8500 or unix:/tmp/socket.

        Raises:
            OSError: it is taken, or not ours.
        """
        if address.startswith("unix:"):
            self._socket = UnixSocket(address.removeprefix("unix:"))
        try:
            if credentials:
                self._server.add_secure_port(address, credentials)
            else:
                self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {address}: {error}") from error
        if self._socket:
            self._socket.listening()

    def start(self) -> None:
        """Answers from now on."""
        self._server.start()
        if self._health:
            self._health.set("", health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace: float) -> threading.Event:
        """Refuses new calls, and returns at once with the event of the end.

        Calls that run have `grace` seconds to end in; then their callers get UNAVAILABLE, whatever still runs.
        """
        if self._health:
            self._health.enter_graceful_shutdown()
        self._arrivals.end_watches()
        with self._socket.spared() if self._socket else nullcontext():
            ended = self._server.stop(grace)
        self._arrivals.end_with(ended)
        return ended
