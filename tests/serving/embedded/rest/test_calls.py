import pytest

from charflow.serving.embedded.core.spec import ModelSpec
from charflow.serving.embedded.rest.calls import Call, parse_call
from charflow.serving.errors import InvalidArgument


@pytest.mark.parametrize(
    ("method", "target", "verb", "spec"),
    [
        ("POST", b"/v1/models/chat:predict", "predict", ModelSpec(name="chat")),
        ("POST", b"/v1/models/chat/versions/003:classify", "classify", ModelSpec(name="chat", version=3)),
        ("POST", b"/v1/models/chat/labels/a%3Ab:regress", "regress", ModelSpec(name="chat", label="a:b")),
        ("POST", b"/V1/Models/a%2Fb%3Ac+%C3%A9:predict", "predict", ModelSpec(name="a/b:c+é")),
        ("GET", b"/v1/models/chat", "status", ModelSpec(name="chat")),
        ("GET", b"/v1/models/chat/labels/new", "status", ModelSpec(name="chat", label="new")),
        ("GET", b"/v1/models/chat?x=1", "status", ModelSpec(name="chat?x=1")),
        ("GET", b"/v1/models/chat/versions/3/metadata", "metadata", ModelSpec(name="chat", version=3)),
        ("GET", b"/v1/models/chat/METADATA", "status", ModelSpec(name="chat")),
    ],
    ids=[
        "latest",
        "version",
        "label",
        "encoded",
        "status",
        "status-label",
        "query",
        "metadata",
        "metadata-in-capitals",
    ],
)
def test_parse_call_reads(method: str, target: bytes, verb: str, spec: ModelSpec) -> None:
    assert parse_call(method, target) == Call(verb=verb, spec=spec)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/foo"),
        ("POST", "/v1/foo"),
        ("GET", "/v1/models/a/b"),
        ("POST", "/v1/models"),
        ("POST", "/v1/models/chat"),
        ("GET", "/v1/models/chat:predict"),
        ("PUT", "/v1/models/chat:predict"),
        ("HEAD", "/v1/models/chat"),
        ("DELETE", "/v1/models/chat"),
        ("POST", "/v1/models/chat:PREDICT"),
        ("POST", "/v1/models/chat:predict?a=1"),
        ("POST", "/v1/models/chat:predict/"),
        ("POST", "/v1/models/chat/versions/new:predict"),
        ("POST", "/v1/models/chat/version/1:predict"),
        ("POST", "/v1/models/chat/versions/1/labels/a:predict"),
        ("POST", "/v1/models/chat/metadata"),
    ],
)
def test_parse_call_refuses_what_is_malformed(method: str, target: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_call(method, target.encode())
    assert caught.value.message == f"Malformed request: {method} {target}"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/v1/models", "Missing model name in request."),
        ("/v1/models/metadata/metadata/metadata", "Malformed request"),
        (f"/v1/models/chat/versions/{2**64}", f"Failed to convert version: {2**64} to numeric."),
        (f"/v1/models/chat/versions/{'9' * 5000}", "Failed to convert version: 9"),
        ("/v1/models/%ff", "Failed to decode model name: %ff is not UTF-8"),
        ("/v1/models/chat/labels/%ff", "Failed to decode model version label: %ff is not UTF-8"),
    ],
    ids=["no-name", "too-much", "version", "version-of-5000-digits", "name", "label"],
)
def test_parse_call_refuses_status(target: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_call("GET", target.encode())
    assert message in caught.value.message
