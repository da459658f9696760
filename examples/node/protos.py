"""Writes the protos of TensorFlow Serving as one file that other languages read: a FileDescriptorSet.

python examples/node/protos.py serving.desc

They are those of the package tensorflow-serving-api, with all that they import; nothing is copied by hand.
"""

import sys
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2


def with_imports(files: list[FileDescriptor]) -> FileDescriptorSet:
    """Collects files and what they import, each once, after what it imports itself."""
    found: dict[str, FileDescriptor] = {}

    def visit(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            visit(imported)
        found.setdefault(file.name, file)

    for file in files:
        visit(file)
    collected = FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(collected.file.add())
    return collected


if __name__ == "__main__":
    services = [prediction_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR]
    Path(sys.argv[1]).write_bytes(with_imports(services).SerializeToString())
