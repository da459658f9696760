"""Writes requests of TensorFlow Serving's REST protocol and reads the answers, with JSON alone.

Requests are columnar (`inputs`), as the batch of each input is at hand. Metadata and status are proto JSON: int64 as
strings, bytes as base64, enums by name.
"""

import base64
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

from charflow.serving.client.arguments import Tensor
from charflow.serving.client.results import ModelMetadata, Signature, TensorInfo
from charflow.serving.client.wire.answers import UNNAMED
from charflow.serving.client.wire.tensors import field_of, nested, text_of
from charflow.serving.client.wire.transport import Target
from charflow.serving.errors import Internal, ServingError, error_of
from charflow.serving.http_status import code_of
from charflow.serving.version_status import VersionStatus

Found = TypeVar("Found")


def path_of(target: Target) -> str:
    """The path of a model.

    >>> path_of(Target("a b", version=3))
    '/v1/models/a%20b/versions/3'
    """
    path = f"/v1/models/{quote(target.model, safe='')}"
    if target.version is not None:
        return f"{path}/versions/{target.version}"
    return f"{path}/labels/{quote(target.label, safe='')}" if target.label is not None else path


def predict_body(signature: str, inputs: Mapping[str, Tensor]) -> bytes:
    """Asks for all outputs of a signature."""
    columns = {name: tensor.rows for name, tensor in inputs.items()}
    return json.dumps({"signature_name": signature, "inputs": columns}).encode()


def error_of_status(status: int, body: bytes, address: str) -> ServingError:
    """Makes the error of an HTTP status, with the server's message; a body of another form is no message."""
    try:
        message = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        message = None
    if not isinstance(message, str):
        named = status in HTTPStatus._value2member_map_
        message = f"{address} answered HTTP {status}{' ' + HTTPStatus(status).phrase if named else ''}."
    return error_of(code_of(status), message)


def outputs_of(body: bytes) -> dict[str, Any]:
    """Reads the outputs as nested lists by name; where there is one alone, REST leaves its name out: UNNAMED.

    Raises:
        Internal: the body is no answer of TensorFlow Serving, as in the functions below.
    """

    def read(answer: Any) -> dict[str, Any]:
        outputs = answer["outputs"]
        return outputs if isinstance(outputs, dict) else {UNNAMED: outputs}

    return _read(body, read)


def metadata_of(body: bytes) -> ModelMetadata:
    """Reads the signatures."""

    def read(answer: Any) -> ModelMetadata:
        signatures = answer["metadata"]["signature_def"]["signature_def"]
        return ModelMetadata(
            name=answer["model_spec"]["name"],
            version=int(answer["model_spec"]["version"]),
            signatures={name: _signature(proto) for name, proto in signatures.items()},
        )

    return _read(body, read)


def statuses_of(body: bytes) -> list[VersionStatus]:
    """Reads the states of the versions."""

    def read(answer: Any) -> list[VersionStatus]:
        return [
            VersionStatus(
                version=int(each["version"]),
                state=each["state"],
                code=each.get("status", {}).get("error_code", "OK"),
                message=each.get("status", {}).get("error_message", ""),
            )
            for each in answer["model_version_status"]
        ]

    return _read(body, read)


def _read(body: bytes, read: Callable[[Any], Found]) -> Found:
    try:
        return read(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Internal(
            f"The server sent an answer that is none of TensorFlow Serving ({type(error).__name__}: {error})."
        ) from error


def _signature(proto: Any) -> Signature:
    return Signature(
        inputs={name: _info(info) for name, info in proto["inputs"].items()},
        outputs={name: _info(info) for name, info in proto["outputs"].items()},
        defaults={name: _values(value) for name, value in proto.get("defaults", {}).items()},
    )


def _info(proto: Any) -> TensorInfo:
    shape = proto["tensor_shape"]
    dimensions = tuple(None if size < 0 else size for size in _sizes(shape))
    return TensorInfo(dtype=proto["dtype"], shape=None if shape.get("unknown_rank") else dimensions)


def _values(proto: Any) -> Any:
    dtype = proto["dtype"]
    values = proto.get(field_of(dtype), [])
    if dtype == "DT_STRING":
        values = [text_of(base64.b64decode(value)) for value in values]
    elif dtype in ("DT_FLOAT", "DT_DOUBLE"):
        values = [float(value) for value in values]  # NaN and Infinity come as strings
    elif dtype != "DT_BOOL":
        values = [int(value) for value in values]
    return nested(dtype, _sizes(proto["tensor_shape"]), values, base64.b64decode(proto.get("tensor_content", "")))


def _sizes(shape: Any) -> list[int]:
    return [int(dim["size"]) for dim in shape.get("dim", [])]
