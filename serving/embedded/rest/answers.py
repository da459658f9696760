"""The JSON text of REST answers: predictions, classifications, regressions, statuses, metadata and errors.

`app` sends what is written here; the values inside tensors are `tensor_texts`'. `bodies` reads the other way.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow.core.protobuf import error_codes_pb2, meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from charflow.serving.embedded.core.spec import Classification, Regression
from charflow.serving.embedded.rest.json_tensors import Json
from charflow.serving.embedded.rest.tensor_texts import format_floats, format_rows, format_string, format_tensor
from charflow.serving.errors import InvalidArgument
from charflow.serving.version_status import VersionStatus


def format_prediction(outputs: Mapping[str, np.ndarray], *, by_rows: bool) -> str:
    """The answer to a predict request: `predictions`, an item for each row, or `outputs`, an item for each tensor.

    Raises:
        InvalidArgument: there is no output, one has a dtype JSON has no values of, or rows are asked for and an output
            has no batch dimension or another batch size than the one before.
    """
    if not outputs:
        raise InvalidArgument("Cannot convert empty tensor map to JSON")
    if by_rows:
        _check_batch(outputs)
        columns = [format_rows(array, as_base64=_is_bytes(name)) for name, array in outputs.items()]
        return f'{{"predictions": [{", ".join(columns[0] if len(columns) == 1 else _objects(outputs, columns))}]}}'
    texts = [format_tensor(array, as_base64=_is_bytes(name)) for name, array in outputs.items()]
    return f'{{"outputs": {texts[0] if len(texts) == 1 else _object(outputs, texts)}}}'


def format_classification(answer: Classification) -> str:
    """The answer to a classify request: for each example its [label, score] pairs.

    Raises:
        InvalidArgument: there is no example.
    """
    if not answer.classes:
        raise InvalidArgument("Cannot convert empty ClassificationResults to JSON")
    scores = iter(_format_float32([score for classes in answer.classes for _, score in classes]))
    examples = [
        "[" + ", ".join(f"[{format_string(label)}, {next(scores)}]" for label, _ in classes) + "]"
        for classes in answer.classes
    ]
    return f'{{"results": [{", ".join(examples)}]}}'


def format_regression(answer: Regression) -> str:
    """The answer to a regress request: a value for each example.

    Raises:
        InvalidArgument: there is no example.
    """
    if not len(answer.values):
        raise InvalidArgument("Cannot convert empty RegressionResults to JSON")
    return f'{{"results": [{", ".join(_format_float32(answer.values))}]}}'


def format_statuses(statuses: Sequence[VersionStatus]) -> str:
    """The answer to a status request: GetModelStatusResponse as proto JSON."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in statuses:
        version = response.model_version_status.add(version=status.version, state=status.state)
        version.status.error_code = error_codes_pb2.Code.Value(status.code)
        version.status.error_message = status.message
    return json.dumps(_proto_json(response), indent=1)


def format_metadata(name: str, version: int, signatures: Mapping[str, meta_graph_pb2.SignatureDef]) -> str:
    """The answer to a metadata request: GetModelMetadataResponse, its signatures unpacked and without `@type`."""
    spec = model_pb2.ModelSpec(name=name)
    spec.version.value = version
    signature_map = get_model_metadata_pb2.SignatureDefMap()
    for key, signature in signatures.items():
        signature_map.signature_def[key].CopyFrom(signature)
    answer = {"model_spec": _proto_json(spec), "metadata": {"signature_def": _proto_json(signature_map)}}
    return json.dumps(answer, indent=1)


def format_error(message: str) -> str:
    """The answer to a request that failed."""
    return f'{{"error": {format_string(message)}}}'


def _is_bytes(name: str) -> bool:
    return name.endswith("_bytes")


def _check_batch(outputs: Mapping[str, np.ndarray]) -> None:
    batch: int | None = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise InvalidArgument(f"Tensor name: {name} has no shape information")
        if batch not in (None, len(array)):
            raise InvalidArgument(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}")
        batch = len(array)


def _objects(names: Iterable[str], columns: list[list[str]]) -> list[str]:
    return [_object(names, texts) for texts in zip(*columns)]


def _object(names: Iterable[str], texts: Iterable[str]) -> str:
    return "{" + ", ".join(f"{format_string(name)}: {text}" for name, text in zip(names, texts)) + "}"


def _format_float32(values: Sequence[float]) -> list[str]:
    with np.errstate(over="ignore"):
        return format_floats(np.array(values, np.float32))


def _proto_json(message: Message) -> dict[str, Json]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
