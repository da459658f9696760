"""The messages of `wire.proto` against the official ones: whatever a field is called by, its number and type count."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2,
    predict_pb2,
    prediction_service_pb2,
    status_pb2,
)

from charflow.serving.client.wire.methods import Methods
from charflow.serving.protos import wire_pb2

OFFICIAL = [
    tensor_pb2,
    tensor_shape_pb2,
    meta_graph_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    status_pb2,
]
# A canonical code is a number to the client, and a configuration that tensorflow-serving-api has written is bytes.
SAME_BYTES = {
    ("StatusProto", "error_code"): (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_ENUM),
    ("ReloadConfigRequest", "config"): (FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE),
}


def messages(found: Descriptor) -> Iterator[Descriptor]:
    yield found
    for nested in found.nested_types:
        yield from messages(nested)


def official(name: str) -> Descriptor:
    """Finds the official message with a name in its package, such as TensorShapeProto.Dim."""
    outer, *inner = name.split(".")
    (found,) = (each.DESCRIPTOR.message_types_by_name[outer] for each in OFFICIAL if hasattr(each, outer))
    for each in inner:
        found = found.nested_types_by_name[each]
    return found


def within_package(descriptor: Descriptor | EnumDescriptor) -> str:
    package = descriptor.file.package
    return descriptor.full_name.removeprefix(f"{package}.") if "google" not in package else descriptor.full_name


OURS = [each for top in wire_pb2.DESCRIPTOR.message_types_by_name.values() for each in messages(top)]


@pytest.mark.parametrize("message", OURS, ids=within_package)
def test_fields_are_on_the_wire_as_the_official_ones(message: Descriptor) -> None:
    name = within_package(message)
    theirs = official(name).fields_by_name
    for field in message.fields:
        other = theirs[field.name]
        assert (field.number, field.is_repeated) == (other.number, other.is_repeated), field.name
        if types := SAME_BYTES.get((name, field.name)):
            assert (field.type, other.type) == types
            continue
        assert (field.type, field.is_packed) == (other.type, other.is_packed), field.name
        if kind := field.message_type or field.enum_type:
            assert within_package(kind) == within_package(other.message_type or other.enum_type), field.name


def test_enums_have_the_official_numbers() -> None:
    dtypes = {name: number for name, number in types_pb2.DataType.items() if not name.endswith("_REF")}
    assert dict(wire_pb2.DataType.items()) == dtypes
    states = get_model_status_pb2.ModelVersionStatus.State
    assert wire_pb2.ModelVersionStatus.State.items() == states.items()


def test_methods_are_the_official_ones() -> None:
    called = []

    class Channel:
        def unary_unary(self, path: str, **_: Any) -> None:
            called.append(path)

    Methods(Channel())
    services = [prediction_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR]
    methods = [each for file in services for service in file.services_by_name.values() for each in service.methods]
    public = {f"/{each.containing_service.full_name}/{each.name}" for each in methods}
    assert len(called) == 4
    assert set(called) <= public
