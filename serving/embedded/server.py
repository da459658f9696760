"""Runs the embedded server from its flags to its end.

Models are loaded first, then the doors open; folders and configuration are watched; a signal closes the doors, lets
what runs finish in the time that Kubernetes gives, and ends the process.
"""

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn, Protocol

import tensorflow as tf

from charflow.serving.embedded.core.core import Core
from charflow.serving.embedded.core.graph_session import check_tensorflow
from charflow.serving.embedded.core.loading import ServedVersion
from charflow.serving.embedded.core.metrics import Metrics
from charflow.serving.embedded.core.models import Models
from charflow.serving.embedded.descriptors import connections_per_door
from charflow.serving.embedded.grpc.server import GrpcServer
from charflow.serving.embedded.log_limit import LogLimit
from charflow.serving.embedded.memory import trim_memory
from charflow.serving.embedded.rest.app import RestApp
from charflow.serving.embedded.rest.completions.answers import Completions
from charflow.serving.embedded.rest.connection import ConnectionBounds
from charflow.serving.embedded.rest.playground import Playground
from charflow.serving.embedded.rest.server import RestServer
from charflow.serving.embedded.settings_of import load_settings, model_config, with_threads
from charflow.serving.embedded.tls import grpc_credentials, ssl_context
from charflow.serving.errors import Cancelled, ServingError, UsageError
from charflow.serving.listening import grpc_addresses, listen
from charflow.serving.ready import host_and_port
from charflow.serving.settings.configs import (
    parse_channel_arguments,
    read_model_config,
    read_monitoring_config,
    read_ssl_config,
)
from charflow.serving.settings.flags import ServerFlags

_CUT_GRACE = 3.0  # seconds for the answers of calls that are cut
_METRICS_PATH = "/monitoring/prometheus/metrics"
_logger = logging.getLogger(__name__)


class Announce(Protocol):
    """Is told where the server answers."""

    def __call__(
        self,
        grpc_address: str | None,
        rest_address: str | None,
        model_names: Sequence[str],
        *,
        rest_tls: bool,
        client_verify: bool,
        playground: bool,
    ) -> None:
        """The addresses, None for a door that is closed, and the models."""


def serve(flags: ServerFlags, *, announce: Announce) -> NoReturn:
    """Serves until SIGTERM or SIGINT, then ends the process: with status 0, or 1 if the server could not start.

    Args:
        flags: how to serve.
        announce: is told the addresses of gRPC and REST, and the names of the models, once they answer.
    """
    _log()
    # TensorFlow's modules are half a million objects that stay: to look through them again whenever a request had made
    # many lists stopped every call for 200 ms. What models make comes later, and is collected with them.
    gc.freeze()
    try:
        check_tensorflow()
        _Server(flags).run(announce)
        status = 0
    except (UsageError, ServingError, OSError) as error:
        code = f"{error.code}: " if isinstance(error, ServingError) else ""
        print(f"Failed to start server. Error: {code}{error}", file=sys.stderr)
        status = 1
    # Python would wait for the threads of calls that were cut, and TensorFlow be taken down under one that loads.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _log() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname).1s %(message)s", level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogLimit())
    logging.getLogger("charflow").setLevel(logging.INFO)
    tf.get_logger().setLevel("ERROR")


class _Server:
    def __init__(self, flags: ServerFlags) -> None:
        self._flags = flags
        self._config = model_config(flags)
        self._tls = read_ssl_config(flags.ssl_config_file) if flags.ssl_config_file else None
        self._metrics = Metrics()
        settings = load_settings(flags)
        # A batch is as large as the calls that wait for it at the same time.
        usual = max(16, 4 * (os.cpu_count() or 1))
        together = settings.batching.largest if settings.batching else 0
        threads = max(usual, min(256, 2 * together))
        self._grpc_threads = flags.grpc_max_threads or threads
        self._rest_threads = flags.rest_api_num_threads or threads
        settings = with_threads(settings, self._grpc_threads + self._rest_threads)
        self._models = Models(
            lambda _, path: ServedVersion(path, settings, self._metrics),
            max_retries=flags.max_num_load_retries,
            retry_interval=flags.load_retry_interval_micros / 1e6,
        )
        self._core = Core(
            self._models, self._metrics, labels_for_unavailable=flags.allow_version_labels_for_unavailable_models
        )
        self._ending = threading.Event()
        self._connections = connections_per_door(flags.max_connections, 2 if flags.rest_api_port else 1)
        self._grpc = self._make_grpc()
        self._rest = self._make_rest() if flags.rest_api_port else None

    def run(self, announce: Announce) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            if self._load_models():
                self._open(announce)
                trim_memory(self._ending)
            while not self._ending.wait(1.0):
                pass  # a signal that was caught between two instructions of a wait without end could be missed
            _logger.info("Ending: calls that run have %d s to finish", self._flags.shutdown_grace_seconds)
        finally:
            self._close()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._ending.is_set():  # a second signal: the user will not wait for the calls that run
            os._exit(128 + number)
        self._ending.set()

    def _load_models(self) -> bool:
        """Loads all models before the doors open; False if a signal came first."""
        watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
        failure: list[Exception] = []

        def first() -> None:
            try:
                self._core.configuration.apply(self._config)
                if self._flags.model_config_file and self._flags.model_config_file_poll_wait_seconds:
                    threading.Thread(target=self._watch_config, name="watch-config", daemon=True).start()
                self._core.configuration.await_models()
            except Exception as error:
                failure.append(error)

        loading = threading.Thread(target=first, name="first-load", daemon=True)
        loading.start()
        watcher.start()
        while loading.is_alive() and not self._ending.wait(0.02):
            pass  # the main thread stays free for signals
        if self._ending.is_set():
            return False
        if failure and not isinstance(failure[0], Cancelled):
            raise failure[0]
        return True

    def _open(self, announce: Announce) -> None:
        flags = self._flags
        credentials = grpc_credentials(self._tls) if self._tls else None
        address = host_and_port(flags.host, flags.port) if flags.port else None
        for one in grpc_addresses(flags.host, flags.port) if flags.port else []:
            self._grpc.listen(one, credentials)
        if flags.grpc_socket_path:
            self._grpc.listen(f"unix:{flags.grpc_socket_path}", credentials)
        rest = None
        if self._rest:
            self._rest.start(listen(flags.host, flags.rest_api_port, flag="rest_api_port"))
            rest = host_and_port(flags.host, flags.rest_api_port)
        self._grpc.start()
        while self._rest and not self._rest.started and not self._ending.wait(0.01):
            if self._rest.join(0):
                raise OSError("REST ended while it began: the log says why")
        announce(
            address,
            rest,
            self._core.configuration.names(),
            rest_tls=bool(self._tls),
            client_verify=bool(self._tls and self._tls.client_verify),
            playground=flags.playground,
        )

    def _close(self) -> None:
        grace = self._flags.shutdown_grace_seconds
        end = time.monotonic() + grace + _CUT_GRACE
        self._models.close()
        if self._rest:
            self._rest.stop()
        done = self._grpc.stop(grace).wait(end - time.monotonic())
        done = (not self._rest or self._rest.join(end - time.monotonic())) and done
        if not done:
            _logger.warning("Calls that did not end are cut")

    def _watch(self) -> None:
        seconds = self._flags.file_system_poll_wait_seconds
        while seconds > 0 and not self._ending.wait(seconds):
            try:
                self._core.configuration.look_for_versions()
            except Exception:
                _logger.exception("Looking for versions failed")

    def _watch_config(self) -> None:
        last, told = self._config, ""
        while not self._ending.wait(self._flags.model_config_file_poll_wait_seconds):
            try:
                config = read_model_config(self._flags.model_config_file)
                if config != last:
                    # Without waiting for its models: this thread must read the correction of what never loads.
                    self._core.configuration.apply(config)
                    last = config
                    _logger.info(
                        "The configuration was read again: models %s",
                        ", ".join(self._core.configuration.names()) or "none",
                    )
                told = ""
            except (UsageError, ServingError) as error:
                if str(error) != told:
                    _logger.error("The configuration stays as it is: %s", error)
                told = str(error)

    def _make_grpc(self) -> GrpcServer:
        flags = self._flags
        return GrpcServer(
            self._core,
            threads=self._grpc_threads,
            max_queued=flags.max_queued_requests,
            max_request_bytes=flags.max_request_bytes,
            max_connections=self._connections,
            options=parse_channel_arguments(flags.grpc_channel_arguments),
            healthcheck=flags.enable_grpc_healthcheck_service,
            as_content=flags.enable_serialization_as_tensor_content,
        )

    def _make_rest(self) -> RestServer:
        flags = self._flags
        monitoring = read_monitoring_config(flags.monitoring_config_file) if flags.monitoring_config_file else None
        prometheus = monitoring.prometheus_config if monitoring else None
        app = RestApp(
            self._core,
            timeout_ms=flags.rest_api_timeout_in_ms,
            enable_cors=flags.rest_api_enable_cors_support,
            metrics=self._metrics.text if prometheus and prometheus.enable else None,
            metrics_path=(prometheus.path if prometheus else "") or _METRICS_PATH,
            threads=self._rest_threads,
            max_queued=flags.max_queued_requests,
            max_body_bytes=flags.max_request_bytes,
            playground=Playground(self._core.configuration.names) if flags.playground else None,
            completions=Completions(self._core.configuration.names) if flags.openai_completions else None,
        )
        return RestServer(
            app,
            bounds=ConnectionBounds(connections=self._connections),
            grace=flags.shutdown_grace_seconds,
            tls=ssl_context(self._tls) if self._tls else None,
        )
