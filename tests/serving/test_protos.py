"""The protos of the configuration files against those of TensorFlow Serving, whose numbers are written out here.

Those of the wire are compared with the official ones in client/wire/test_wire_protos.py.
"""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import runtime_version
from google.protobuf.descriptor import FieldDescriptor, FileDescriptor
from google.protobuf.message import Message

from charflow.serving import protos
from charflow.serving.protos.monitoring_config_pb2 import MonitoringConfig, PrometheusConfig
from charflow.serving.protos.session_bundle_config_pb2 import BatchingParameters
from charflow.serving.protos.ssl_config_pb2 import SSLConfig

BOOL, STRING, INT64 = FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_INT64
PUBLIC: dict[type[Message], dict[str, tuple[int, int | str, bool]]] = {
    PrometheusConfig: {"enable": (1, BOOL, False), "path": (2, STRING, False)},
    MonitoringConfig: {"prometheus_config": (1, "tensorflow.serving.PrometheusConfig", False)},
    SSLConfig: {
        "server_key": (1, STRING, False),
        "server_cert": (2, STRING, False),
        "custom_ca": (3, STRING, False),
        "client_verify": (4, BOOL, False),
    },
    BatchingParameters: {
        "max_batch_size": (1, "google.protobuf.Int64Value", False),
        "batch_timeout_micros": (2, "google.protobuf.Int64Value", False),
        "max_enqueued_batches": (3, "google.protobuf.Int64Value", False),
        "num_batch_threads": (4, "google.protobuf.Int64Value", False),
        "thread_pool_name": (5, "google.protobuf.StringValue", False),
        "allowed_batch_sizes": (6, INT64, True),
        "pad_variable_length_inputs": (7, BOOL, False),
        "enable_large_batch_splitting": (8, "google.protobuf.BoolValue", False),
        "max_execution_batch_size": (9, "google.protobuf.Int64Value", False),
    },
}
MODULES = ["monitoring_config", "session_bundle_config", "ssl_config", "wire"]


@pytest.mark.parametrize("message", PUBLIC, ids=lambda message: message.DESCRIPTOR.name)
def test_message_has_the_fields_of_tensorflow_serving(message: type[Message]) -> None:
    assert message.DESCRIPTOR.full_name == f"tensorflow.serving.{message.__name__}"
    fields = {
        field.name: (field.number, field.message_type.full_name if field.message_type else field.type, is_list(field))
        for field in message.DESCRIPTOR.fields
    }
    assert fields == PUBLIC[message]


@pytest.mark.parametrize("name", MODULES)
def test_generated_module_runs_on_the_oldest_protobuf_charflow_allows(name: str) -> None:
    module = importlib.import_module(f"charflow.serving.protos.{name}_pb2")
    assert module.DESCRIPTOR.name == f"charflow/serving/protos/{name}.proto"
    made_by = re.search(r"Protobuf Python Version: (\d+)\.(\d+)", Path(str(module.__file__)).read_text())
    assert made_by is not None
    assert (int(made_by[1]), int(made_by[2])) <= (6, 31)
    assert int(made_by[1]) >= runtime_version.MAJOR - 1  # protobuf runs what the major version before it made


@pytest.mark.parametrize("name", MODULES)
def test_generated_module_is_up_to_date(name: str) -> None:
    source = Path(protos.__path__[0], f"{name}.proto").read_text()
    written = re.findall(r"^ +[^/\n]*?(\w+) = (\d+);", source, re.MULTILINE)
    module = importlib.import_module(f"charflow.serving.protos.{name}_pb2")
    assert sorted((field, int(number)) for field, number in written) == sorted(numbered(module.DESCRIPTOR))


def numbered(file: FileDescriptor) -> Iterator[tuple[str, int]]:
    """The fields and the members of enums."""
    messages, enums = [*file.message_types_by_name.values()], [*file.enum_types_by_name.values()]
    while messages:
        message = messages.pop()
        messages += [nested for nested in message.nested_types if not nested.GetOptions().map_entry]
        enums += message.enum_types
        yield from ((field.name, field.number) for field in message.fields)
    yield from ((value.name, value.number) for enum in enums for value in enum.values)


def is_list(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated)
