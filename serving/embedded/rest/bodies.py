"""The JSON bodies of REST requests: what a predict, classify or regress asks of the core.

`app` hands over the bytes of a request, `documents` parses them. What needs no model is read at once, the tensors when
the core has a signature; the values inside them are `json_tensors`'. `answers` writes the other way.
"""

from dataclasses import dataclass

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2

from charflow.serving.embedded.core.signature import ServedSignature
from charflow.serving.embedded.rest.documents import parse_document
from charflow.serving.embedded.rest.json_tensors import (
    Json,
    is_base64,
    read_base64,
    read_rows,
    read_tensor,
    show,
    type_name,
)
from charflow.serving.errors import InvalidArgument

_INT64 = range(-(2**63), 2**63)
_FREED = 8192  # values let go of at once: that holds the lock too


@dataclass(frozen=True, kw_only=True)
class PredictBody:
    """The body of a predict request.

    Attributes:
        signature: its name; empty for the default.
        by_rows: whether the answer is to be `predictions`, as the request had `instances`.
        document: the whole body, parsed; `feed` empties it, for its values take up to thirty times the body's bytes.
    """

    signature: str
    by_rows: bool
    document: dict[str, Json]

    def feed(self, signature: ServedSignature) -> dict[str, np.ndarray]:
        """The array of each input of the signature.

        That there is one of `instances` and `inputs` is checked here: TensorFlow Serving looks the model up before.

        Raises:
            InvalidArgument: the body does not fit the signature.
            Unimplemented: JSON has no values of an input's dtype.
        """
        try:
            return self._read(signature)
        finally:
            self.empty()

    def empty(self) -> None:
        """Frees the values in pieces, so that other threads run meanwhile."""
        for value in self.document.values():
            while type(value) is list and value:
                del value[-_FREED:]
        self.document.clear()

    def _read(self, signature: ServedSignature) -> dict[str, np.ndarray]:
        if not signature.inputs:
            raise InvalidArgument(f"Failed to get input map for signature: {signature.name}")
        if self.by_rows and "inputs" in self.document:
            raise InvalidArgument(
                f"JSON Value: {show(self.document)} Not formatted correctly: there may be only one of "
                "'inputs' and 'instances'"
            )
        if self.by_rows:
            return _read_instances(self.document["instances"], signature)
        if "inputs" in self.document:
            return _read_inputs(self.document["inputs"], signature)
        raise InvalidArgument("Missing 'inputs' or 'instances' key")


def parse_predict(body: bytes) -> PredictBody:
    """Reads the body of a predict request as far as that needs no model.

    Raises:
        InvalidArgument: it is not a JSON object in UTF-8, or `signature_name` is not a string.
    """
    document = parse_document(body)
    return PredictBody(signature=_signature_name(document), by_rows="instances" in document, document=document)


def parse_examples(body: bytes) -> tuple[str, list[bytes]]:
    """Reads the body of a classify or regress request: the signature's name and the serialised tf.Examples.

    A `context` stands before each example, as in TensorFlow Serving: a feature in both has the example's value.

    Raises:
        InvalidArgument: it is not a JSON object in UTF-8, or not as `g3doc/api_rest.md` describes.
    """
    document = parse_document(body)
    signature = _signature_name(document)
    context = _serialise_example(document["context"]) if "context" in document else b""
    if "examples" not in document:
        raise InvalidArgument(f"JSON Value: {show(document)} key 'examples' is expected and was not found")
    examples = document["examples"]
    if type(examples) is not list:
        raise InvalidArgument(f"JSON Value: {show(document)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise InvalidArgument(f"JSON Value: {show(document)} 'examples' value is an empty array")
    return signature, [context + _serialise_example(example) for example in examples]


def _signature_name(document: dict[str, Json]) -> str:
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise InvalidArgument(
            f"JSON Value: {show(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def _read_instances(instances: Json, signature: ServedSignature) -> dict[str, np.ndarray]:
    if type(instances) is not list:
        raise InvalidArgument(f"JSON Value: {show(instances)} Expecting 'instances' to be an list/array")
    if not instances:
        raise InvalidArgument("JSON Value: [] No values in 'instances' array")
    if _is_record(instances[0]):
        _check_records(instances, signature)
        return {
            name: read_rows([record[name] for record in instances], spec.dtype, f" key: {name}")
            for name, spec in signature.inputs.items()
        }
    if len(signature.inputs) > 1:
        raise InvalidArgument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required: "
            + ",".join(signature.inputs)
        )
    for number, item in enumerate(instances):
        if _is_record(item):
            raise InvalidArgument(f"Expecting value/list but got object at item {number} of input list")
    ((name, spec),) = signature.inputs.items()
    return {name: read_rows(instances, spec.dtype)}


def _is_record(value: Json) -> bool:
    return type(value) is dict and not is_base64(value)


def _check_records(records: list[Json], signature: ServedSignature) -> None:
    names = signature.inputs.keys()
    for number, record in enumerate(records):
        if not _is_record(record):
            raise InvalidArgument(f"Expecting object but got list at item {number} of input list")
        if record.keys() == names:
            continue
        place = f"Failed to process element: {number}"
        for name in record:
            if name not in names:
                raise InvalidArgument(
                    f"{place} key: {name} of 'instances' list. "
                    f"Error: INVALID_ARGUMENT: JSON object: does not have named input: {name}"
                )
        raise InvalidArgument(
            f"{place} of 'instances' list. JSON object: {show(record)} keys must be equal to: {','.join(names)}"
        )


def _read_inputs(inputs: Json, signature: ServedSignature) -> dict[str, np.ndarray]:
    if _is_record(inputs):
        for name in signature.inputs:
            if name not in inputs:
                raise InvalidArgument(f"Missing named input: {name} in 'inputs' object.")
        return {name: read_tensor(inputs[name], spec.dtype) for name, spec in signature.inputs.items()}
    if len(signature.inputs) > 1:
        raise InvalidArgument(
            "inputs is a plain value/list, but expecting an object as multiple input tensors required: "
            + ",".join(signature.inputs)
        )
    ((name, spec),) = signature.inputs.items()
    return {name: read_tensor(inputs, spec.dtype)}


def _serialise_example(value: Json) -> bytes:
    if type(value) is not dict:
        raise InvalidArgument(f"Example must be JSON object but got JSON {type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = example.features.feature[name]
        for item in content if type(content) is list else [content]:
            _add_to_feature(item, name, feature)
    return example.SerializeToString()


def _add_to_feature(value: Json, name: str, feature: feature_pb2.Feature) -> None:
    if type(value) in (bool, int):
        kind = "int64"
        if value not in _INT64:
            raise InvalidArgument(f"Feature: {name} has the element {show(value)}. Only int64_t is supported.")
        value = int(value)
    elif type(value) is float:
        kind = "float"
    elif type(value) is str or is_base64(value):
        kind = "bytes"
        value = read_base64(value) if type(value) is dict else value.encode()
    else:
        raise InvalidArgument(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    there = feature.WhichOneof("kind")
    if there not in (None, f"{kind}_list"):
        raise InvalidArgument(
            f"Unexpected element type in feature: {name} expecting type: {there.removesuffix('_list')}"
        )
    getattr(feature, f"{kind}_list").value.append(value)
