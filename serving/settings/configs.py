"""Reads the configuration files that flags name: text protos, the same files that TensorFlow Serving reads.

`flags` says which files, the back ends and the embedded server take the protos. The messages hold the phrases that
clients of TensorFlow Serving look for ("Error parsing text-format", "Invalid protobuf file").
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from charflow.serving.errors import UsageError
from charflow.serving.protos.monitoring_config_pb2 import MonitoringConfig
from charflow.serving.protos.session_bundle_config_pb2 import BatchingParameters
from charflow.serving.protos.ssl_config_pb2 import SSLConfig

if TYPE_CHECKING:
    from tensorflow.core.protobuf.config_pb2 import ConfigProto

    from charflow.serving.settings.flags import ServerFlags

M = TypeVar("M", bound=Message)
_INT32 = range(-(2**31), 2**31)


def check_configs(flags: "ServerFlags") -> None:
    """Reads the files of a server's flags, but for the one that needs TensorFlow, before anything slow is loaded.

    Raises:
        UsageError: one cannot be read, or does not parse.
    """
    readers: tuple[tuple[str, Callable[[str], Message]], ...] = (
        (flags.model_config_file, read_model_config),
        (flags.batching_parameters_file, read_batching_parameters),
        (flags.monitoring_config_file, read_monitoring_config),
        (flags.ssl_config_file, read_ssl_config),
    )
    for path, read in readers:
        if path:
            read(path)
    parse_channel_arguments(flags.grpc_channel_arguments)


def read_model_config(path: str) -> ModelServerConfig:
    """Reads the file of `--model_config_file`: the models to serve."""
    return _read(path, "model_config_file", ModelServerConfig())


def read_batching_parameters(path: str) -> BatchingParameters:
    """Reads the file of `--batching_parameters_file`."""
    return _read(path, "batching_parameters_file", BatchingParameters())


def read_monitoring_config(path: str) -> MonitoringConfig:
    """Reads the file of `--monitoring_config_file`."""
    return _read(path, "monitoring_config_file", MonitoringConfig())


def read_ssl_config(path: str) -> SSLConfig:
    """Reads the file of `--ssl_config_file`: keys and certificates, as PEM text."""
    return _read(path, "ssl_config_file", SSLConfig())


def read_session_config(path: str) -> "ConfigProto":
    """Reads the file of `--tensorflow_session_config_file`; loads TensorFlow, which has the proto."""
    from tensorflow.core.protobuf.config_pb2 import ConfigProto

    return _read(path, "tensorflow_session_config_file", ConfigProto())


def parse_channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """Splits the value of `--grpc_channel_arguments`; what reads as a 32-bit number becomes one.

    >>> parse_channel_arguments("grpc.max_connection_age_ms=2000,grpc.lb_policy_name=pick_first")
    [('grpc.max_connection_age_ms', 2000), ('grpc.lb_policy_name', 'pick_first')]

    Raises:
        UsageError: a part without a name or without "=".
    """
    return [_channel_argument(part) for part in text.split(",")] if text else []


def _channel_argument(part: str) -> tuple[str, int | str]:
    name, equals, value = (piece.strip() for piece in part.partition("="))
    if not name or not equals:
        raise UsageError(f"--grpc_channel_arguments: {part!r} is not name=value.")
    try:
        number = int(value)
    except ValueError:
        return name, value
    return name, number if number in _INT32 else value


def _read(path: str, flag: str, proto: M) -> M:
    try:
        text_format.Parse(Path(path).read_text(encoding="utf-8"), proto)
    except OSError as error:
        raise UsageError(f"--{flag}: {path} cannot be read: {error.strerror}.") from error
    except (text_format.ParseError, ValueError) as error:  # a ValueError: bytes that are not UTF-8, here or in a string
        found = " ".join(str(error).split()).rstrip(".")
        raise UsageError(
            f"Invalid protobuf file: '{path}': Error parsing text-format {proto.DESCRIPTOR.full_name}: {found}."
        ) from error
    return proto
