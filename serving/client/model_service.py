"""Talks to the model service of a server: which versions answer, and the reload call.

`promote` uses it. A reload replaces the server's whole configuration.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from charflow.serving.client.wire.grpc_transport import open_channel, unreached_of
from charflow.serving.client.wire.methods import Methods
from charflow.serving.client.wire.tls import Tls
from charflow.serving.client.wire.trouble import Trouble
from charflow.serving.errors import UsageError
from charflow.serving.protos import wire_pb2

_Status = wire_pb2.ModelVersionStatus
_OLD_ERROR_SECONDS = 5.0  # an error of an earlier load is shown until the new one begins
_POLL_SECONDS = 0.2
_CALL_SECONDS = 60.0


class ModelService:
    """The model service of one server.

    Attributes:
        address: HOST:PORT.
        reloaded: whether a configuration was sent.
    """

    def __init__(self, address: str, channel: grpc.Channel, *, tls: bool = False) -> None:
        self.address = address
        self._tls = tls
        self.reloaded = False
        self._methods = Methods(channel)

    @classmethod
    @contextmanager
    def connect(cls, address: str, tls: Tls | None = None) -> Iterator["ModelService"]:
        """Opens a connection for the time of a block, encrypted with `tls`.

        Raises:
            ArgumentError: a file of `tls` is no PEM certificate or key, or they do not belong together.
            OSError: a file of `tls` cannot be read.
        """
        with open_channel(address, tls) as channel:
            yield cls(address, channel, tls=tls is not None)

    def reload(self, config: ModelServerConfig) -> None:
        """Replaces the configuration.

        Raises:
            UsageError: the server refuses it, or does not answer.
        """
        request = wire_pb2.ReloadConfigRequest(config=config.SerializeToString())
        self.reloaded = True  # the answer may be lost
        answer = self._call(self._methods.reload, request, "refuses the configuration")
        if answer.status.error_code:
            raise UsageError(f"{self.address} refuses the configuration: {_sentence(answer.status.error_message)}")

    def labelled(self, model: str, label: str) -> int | None:
        """Tells which version a label stands for on the server; None where the server does not say."""
        request = wire_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name, request.model_spec.version_label = model, label
        try:
            answer = self._methods.metadata(request, timeout=_CALL_SECONDS)
        except grpc.RpcError:
            return None  # an unknown label, or a version that is not loaded
        return int(answer.model_spec.version.value)

    def available(self, model: str) -> list[int]:
        """Lists the versions that answer.

        Raises:
            UsageError: the server does not have the model, or does not answer.
        """
        return [status.version for status in self._statuses(model) if status.state == _Status.AVAILABLE]

    def await_available(self, model: ModelConfig, versions: Sequence[int], *, seconds: float) -> None:
        """Waits until all of the versions answer.

        Raises:
            UsageError: one cannot be loaded, or has not been in this time.
        """
        begin = time.monotonic()
        for version in versions:
            while not self._is_available(model, version, waited=time.monotonic() - begin, seconds=seconds):
                time.sleep(_POLL_SECONDS)

    def _is_available(self, model: ModelConfig, version: int, *, waited: float, seconds: float) -> bool:
        found = {status.version: status for status in self._statuses(model.name)}.get(version, _Status())
        if found.state == _Status.AVAILABLE:
            return True
        if found.state == _Status.END and found.status.error_code and waited > _OLD_ERROR_SECONDS:
            why = _sentence(found.status.error_message)
            raise UsageError(f"{self.address} cannot load version {version} of {model.name!r}: {why}")
        if waited > seconds:
            raise UsageError(
                f"{self.address} has not loaded version {version} of {model.name!r} in {seconds:g} s: it must "
                f"be in {model.base_path} on the server, which must have been started with this configuration file."
            )
        return False

    def _statuses(self, model: str) -> Sequence[Any]:
        request = wire_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        answer = self._call(self._methods.status, request, f"tells nothing about model {model!r}")
        return list(answer.model_version_status)

    def _call(self, method: Callable[..., Any], request: Any, what: str) -> Any:
        try:
            return method(request, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            unreached = unreached_of(error, self.address, tls=self._tls)
            if unreached and unreached.trouble is not Trouble.NO_SERVER:
                advice = {Trouble.REST_ANSWERS.name: "Name its gRPC port (8500 by habit)."}
                raise UsageError(unreached.for_command(**advice)) from error
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and error.details() in ("", "Deadline Exceeded"):
                raise UsageError(
                    f"{self.address} has not answered within {_CALL_SECONDS:g} s: its log says what it does."
                ) from error
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise UsageError(f"No server answers at {self.address}: start it, or name its gRPC address.") from error
            raise UsageError(f"{self.address} {what}: {_sentence(error.details() or error.code().name)}") from error


def _sentence(message: str) -> str:
    return " ".join(message.split()).rstrip(".") + "."
