"""Reads what a REST request asks for from its method and path, as `model_servers/http_rest_api_util.cc` does.

`app` dispatches on the `Call` read here. Paths are matched as they were sent, so that a model's name may have `/` and
`:` in it, percent-encoded.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from charflow.serving.embedded.core.spec import ModelSpec
from charflow.serving.errors import InvalidArgument

_POST = re.compile(
    rb"/v1/models/([^/:]+)(?:/versions/([0-9]+)|/labels/([^/:]+))?:(classify|regress|predict)", re.IGNORECASE
)
_GET = re.compile(rb"/v1/models(?:/([^/:]+))?(?:/versions/([0-9]+)|/labels/([^/:]+))?(?:/(metadata))?", re.IGNORECASE)
_NOTHING = re.compile(rb"(?!)")
_MAX_VERSION = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is asked of which model.

    Attributes:
        verb: predict, classify, regress, status or metadata.
        spec: the model; the signature's name is in the body.
    """

    verb: str
    spec: ModelSpec


def parse_call(method: str, target: bytes) -> Call:
    """Reads a request's method and target, the path as it was sent with its query.

    `parse_call("POST", b"/v1/models/chat/versions/3:predict")` is a predict of version 3 of `chat`.

    Raises:
        InvalidArgument: TensorFlow Serving has no such call.
    """
    match = {"POST": _POST, "GET": _GET}.get(method, _NOTHING).fullmatch(target)
    if match is None:
        raise _malformed(method, target)
    name, version, label, verb = match.groups()
    if method == "GET":  # the verb counts in lower case only: the path of any other is a status call
        verb = b"metadata" if verb == b"metadata" else b"status"
    elif verb != verb.lower():
        raise _malformed(method, target)
    if name is None:
        raise InvalidArgument("Missing model name in request.")
    spec = ModelSpec(
        name=_decode(name, "model name"),
        version=None if version is None else _number(version),
        label=None if label is None else _decode(label, "model version label"),
    )
    return Call(verb=verb.decode(), spec=spec)


def _decode(part: bytes, what: str) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise InvalidArgument(f"Failed to decode {what}: {part.decode('utf-8', 'replace')} is not UTF-8") from None


def _number(digits: bytes) -> int:
    if len(digits.lstrip(b"0")) > len(str(_MAX_VERSION)) or int(digits[-20:]) > _MAX_VERSION:
        raise InvalidArgument(f"Failed to convert version: {digits.decode()} to numeric.")
    return int(digits[-20:])


def _malformed(method: str, target: bytes) -> InvalidArgument:
    return InvalidArgument(f"Malformed request: {method} {target.decode('utf-8', 'replace')}")
