import asyncio
import gzip
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import meta_graph_pb2

from charflow.serving import errors
from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.signature import ServedSignature, TensorSpec
from charflow.serving.embedded.core.spec import Answer, Classification, ModelSpec, Regression
from charflow.serving.embedded.rest.app import RestApp
from charflow.serving.http_status import HTTP_STATUS
from charflow.serving.version_status import VersionStatus

CHAT = ServedSignature(
    name="serving_default",
    inputs={"prompt": TensorSpec(tensor="prompt:0", dtype=tf.string, shape=None)},
    outputs={},
    defaults={},
)


class Echo:
    """A core with the one model `chat`, version 3, whose answer is its input."""

    def __init__(self) -> None:
        self.specs: list[ModelSpec] = []
        self.deadlines: list[Deadline] = []
        self.refused: list[tuple[str, str, str]] = []
        self.answer: Callable[[np.ndarray], np.ndarray] = lambda array: array

    def predict(
        self,
        spec: ModelSpec,
        feed: Callable[[ServedSignature], Mapping[str, np.ndarray]],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
        api: str,
    ) -> Answer:
        self._lookup(spec, deadline, api)
        return Answer(outputs={"text": self.answer(feed(CHAT)["prompt"])}, version=3, signature="serving_default")

    def classify(
        self, spec: ModelSpec, examples: Sequence[bytes], *, deadline: Deadline = NEVER, api: str
    ) -> Classification:
        self._lookup(spec, deadline, api)
        return Classification(
            classes=[[("long", float(len(example)))] for example in examples], version=3, signature=""
        )

    def regress(
        self, spec: ModelSpec, examples: Sequence[bytes], *, deadline: Deadline = NEVER, api: str
    ) -> Regression:
        self._lookup(spec, deadline, api)
        return Regression(values=[0.5] * len(examples), version=3, signature="")

    def metadata(self, spec: ModelSpec) -> tuple[int, Mapping[str, meta_graph_pb2.SignatureDef]]:
        self._lookup(spec, NEVER, "REST")
        return 3, {"serving_default": meta_graph_pb2.SignatureDef()}

    def count_refused(self, name: str, error: errors.ServingError, *, method: str = "", api: str) -> None:
        if not error.counted:
            self.refused.append((name, method, error.code))

    def statuses(self, spec: ModelSpec) -> list[VersionStatus]:
        self._lookup(spec, NEVER, "REST")
        return [VersionStatus(version=3, state="AVAILABLE")]

    def _lookup(self, spec: ModelSpec, deadline: Deadline, api: str) -> None:
        assert api == "REST"
        self.specs.append(spec)
        self.deadlines.append(deadline)
        if spec.name != "chat" and "/" not in spec.name:
            raise errors.NotFound(f"Servable not found for request: Latest({spec.name})")


def make_app(core: Echo, **options: Any) -> RestApp:
    defaults: dict[str, Any] = {
        "timeout_ms": 30_000,
        "enable_cors": False,
        "metrics": lambda: b"requests 1\n",
        "metrics_path": "/monitoring/prometheus/metrics",
        "threads": 2,
        "max_queued": 100,
        "max_body_bytes": 64 << 20,
    }
    return RestApp(core, **{**defaults, **options})


def call(app: RestApp, method: str, path: str, content: Any = None, **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, content=content, headers={"accept-encoding": "", **fields})

    return asyncio.run(send())


PREDICT = "/v1/models/chat:predict"


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        (PREDICT, ModelSpec(name="chat")),
        ("/v1/models/chat/versions/003:predict", ModelSpec(name="chat", version=3)),
        ("/v1/models/chat/labels/a%3Ab:predict", ModelSpec(name="chat", label="a:b")),
        ("/V1/Models/a%2Fb%3Ac:predict", ModelSpec(name="a/b:c")),
    ],
    ids=["latest", "version", "label", "encoded"],
)
def test_predict_asks_the_core_for_the_model_in_the_path(path: str, spec: ModelSpec) -> None:
    core = Echo()
    answer = call(make_app(core), "POST", path, '{"instances": ["hi", "é"]}')
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"predictions": ["hi", "é"]}
    assert core.specs == [spec]
    assert 29 < core.deadlines[0].left() <= 30


def test_predict_columnar_with_a_signature() -> None:
    core = Echo()
    answer = call(make_app(core), "POST", PREDICT, '{"signature_name": "s", "inputs": ["hi"]}')
    assert answer.json() == {"outputs": ["hi"]}
    assert core.specs == [ModelSpec(name="chat", signature="s")]


def test_predict_takes_a_long_prompt() -> None:
    prompt = "p" * 10_000_000
    answer = call(make_app(Echo()), "POST", PREDICT, json.dumps({"instances": [prompt]}))
    assert answer.json() == {"predictions": [prompt]}


def test_predict_sends_bytes_that_are_no_text_as_they_are() -> None:
    answer = call(make_app(Echo()), "POST", PREDICT, '{"instances": [{"b64": "/w=="}]}')
    assert (answer.status_code, answer.content) == (200, b'{"predictions": ["\xff"]}')


def test_classify_and_regress_answer_results() -> None:
    app = make_app(Echo())
    body = '{"examples": [{"x": 1}, {}]}'
    classified = call(app, "POST", "/v1/models/chat:classify", body).json()
    assert [[label for label, _ in pairs] for pairs in classified["results"]] == [["long"], ["long"]]
    assert call(app, "POST", "/v1/models/chat/versions/3:regress", body).json() == {"results": [0.5, 0.5]}


def test_status_and_metadata_answer_proto_json() -> None:
    app = make_app(Echo())
    status = call(app, "GET", "/v1/models/chat/labels/stable").json()
    assert status["model_version_status"][0]["version"] == "3"
    metadata = call(app, "GET", "/v1/models/chat/versions/3/metadata").json()
    assert metadata["model_spec"] == {"name": "chat", "signature_name": "", "version": "3"}


def test_other_calls_are_malformed() -> None:
    answer = call(make_app(Echo()), "PUT", f"{PREDICT}?a=1")
    assert (answer.status_code, answer.json()) == (400, {"error": f"Malformed request: PUT {PREDICT}?a=1"})


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/models/chat", "/metrics"])
def test_other_paths_are_not_found(path: str) -> None:
    answer = call(make_app(Echo()), "GET", path)
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_head_is_malformed_and_has_no_body() -> None:
    answer = call(make_app(Echo()), "HEAD", "/v1/models/chat")
    assert (answer.status_code, answer.content) == (400, b"")


def test_absolute_target_is_its_path() -> None:
    assert asyncio.run(exchange(make_app(Echo()), "GET", b"http://server:8501/v1/models/chat"))[0] == 200


@pytest.mark.parametrize("error", errors.ServingError.__subclasses__(), ids=lambda error: error.code)
def test_every_error_has_a_status(error: type[errors.ServingError]) -> None:
    core = Echo()

    def fail(array: np.ndarray) -> np.ndarray:
        raise error('it "broke"')

    core.answer = fail
    answer = call(make_app(core), "POST", PREDICT, '{"instances": ["hi"]}')
    assert (answer.status_code, answer.json()) == (HTTP_STATUS[error.code], {"error": 'it "broke"'})


def test_unexpected_exception_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    core = Echo()

    def fail(array: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("secret")

    core.answer = fail
    with caplog.at_level(logging.ERROR):
        answer = call(make_app(core), "POST", PREDICT, '{"instances": ["hi"]}')
    assert answer.status_code == 500
    assert "Internal error" in answer.json()["error"] and "secret" not in answer.text
    assert "secret" in caplog.text


def test_body_is_parsed_before_the_model_is_looked_up() -> None:
    core = Echo()
    app = make_app(core)
    assert call(app, "POST", "/v1/models/none:predict", "{").status_code == 400
    assert core.specs == []
    unknown = call(app, "POST", "/v1/models/none:predict", "{}")
    assert (unknown.status_code, unknown.json()["error"]) == (404, "Servable not found for request: Latest(none)")
    assert call(app, "POST", PREDICT, "{}").json() == {"error": "Missing 'inputs' or 'instances' key"}


def test_gzip_request_is_uncompressed() -> None:
    body = gzip.compress(b'{"instances": ["hi"]}')
    assert call(make_app(Echo()), "POST", PREDICT, body, content_encoding="gzip").json() == {"predictions": ["hi"]}


def test_gzip_request_may_not_grow_beyond_the_limit() -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    answer = call(make_app(Echo(), max_body_bytes=100_000), "POST", PREDICT, bomb, content_encoding="gzip")
    assert (answer.status_code, answer.json()) == (
        429,
        {"error": "The request's body has more than 100000 bytes uncompressed"},
    )


def test_gzip_answer_when_one_of_the_headers_accepts_it() -> None:
    headers = [(b"accept-encoding", b"br"), (b"accept-encoding", b"gzip")]
    body = body_parts(json.dumps({"instances": ["abc" * 1000]}).encode())
    _, fields, _, _ = asyncio.run(exchange(make_app(Echo()), "POST", PREDICT.encode(), body, headers))
    assert fields[b"content-encoding"] == b"gzip"


def test_cors_headers_only_when_enabled() -> None:
    for enabled in (False, True):
        app = make_app(Echo(), enable_cors=enabled)
        for answer in (
            call(app, "OPTIONS", PREDICT, origin="https://page"),
            call(app, "GET", "/v1/models/chat"),
            call(app, "GET", "/v1/models/none"),
        ):
            assert (answer.headers.get("access-control-allow-origin") == "*") is enabled
            assert (answer.headers.get("access-control-allow-methods") == "POST, GET") is enabled
            assert (answer.headers.get("access-control-allow-headers") == "Content-Type") is enabled


def test_options_needs_an_origin() -> None:
    app = make_app(Echo(), enable_cors=True)
    preflight = call(app, "OPTIONS", PREDICT, origin="http://page")
    assert (preflight.status_code, preflight.content) == (200, b"")
    refused = call(app, "OPTIONS", PREDICT)
    assert (refused.status_code, refused.json()) == (400, {"error": "Origin header is missing in CORS preflight"})


def test_metrics_page_only_when_there_is_one() -> None:
    page = call(make_app(Echo()), "GET", "/monitoring/prometheus/metrics?x=1")
    assert (page.status_code, page.text) == (200, "requests 1\n")
    assert page.headers["content-type"].startswith("text/plain")
    assert call(make_app(Echo(), metrics=None), "GET", "/monitoring/prometheus/metrics").status_code == 404


async def exchange(
    app: RestApp,
    method: str,
    raw_path: bytes,
    messages: Sequence[Mapping[str, Any]] = ({"type": "http.request"},),
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> tuple[int | None, dict[bytes, bytes], bytes, int]:
    """The status, headers and body of an answer, and how many of the messages were read. Then the client waits."""
    sent: list[Any] = []
    left = list(messages)

    async def receive() -> Any:
        if not left:
            await asyncio.sleep(60)
        await asyncio.sleep(0.05 if left[0]["type"] == "http.disconnect" else 0)
        return left.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "raw_path": raw_path,
        "path": "/",
        "query_string": b"",
        "headers": headers,
    }
    await app({**scope, "headers": list(headers)}, receive, send)
    status = sent[0]["status"] if sent else None
    fields = dict(sent[0]["headers"]) if sent else {}
    return status, fields, b"".join(part.get("body", b"") for part in sent), len(messages) - len(left)


def body_parts(*parts: bytes) -> list[dict[str, Any]]:
    return [
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    ]


def test_body_may_come_in_parts() -> None:
    answer = asyncio.run(exchange(make_app(Echo()), "POST", PREDICT.encode(), body_parts(b'{"inst', b'ances": [""]}')))
    assert answer[2] == b'{"predictions": [""]}'


@pytest.mark.parametrize(
    ("headers", "read"), [([(b"content-length", b"1000")], 0), ([], 2)], ids=["by-its-length", "by-its-parts"]
)
def test_large_body_is_refused_unread(headers: list[tuple[bytes, bytes]], read: int) -> None:
    app = make_app(Echo(), max_body_bytes=100)
    status, fields, body, parts = asyncio.run(
        exchange(app, "POST", PREDICT.encode(), body_parts(*[b" " * 60] * 9), headers)
    )
    assert (status, parts, fields[b"connection"]) == (429, read, b"close")
    assert json.loads(body) == {"error": "The request's body has more than 100 bytes"}


def test_client_that_leaves_during_its_body_gets_nothing() -> None:
    messages = [*body_parts(b"{", b"}")[:1], {"type": "http.disconnect"}]
    assert asyncio.run(exchange(make_app(Echo()), "POST", PREDICT.encode(), messages))[0] is None


class Blocked(Echo):
    """An Echo that answers once `release` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()
        self.answer = self._wait

    def _wait(self, array: np.ndarray) -> np.ndarray:
        self.release.wait(20)
        return array


@pytest.fixture
def blocked() -> Iterator[Blocked]:
    core = Blocked()
    yield core
    core.release.set()


HI = body_parts(b'{"instances": ["hi"]}')


def test_late_request_gets_504_at_once(blocked: Blocked) -> None:
    start = time.monotonic()
    answer = call(make_app(blocked, timeout_ms=100), "POST", PREDICT, '{"instances": ["hi"]}')
    assert time.monotonic() - start < 5
    assert (answer.status_code, answer.json()) == (
        504,
        {"error": "Deadline exceeded: the request took longer than 0.1 s"},
    )


def test_status_does_not_wait_behind_predictions(blocked: Blocked) -> None:
    app = make_app(blocked, threads=1)

    async def scene() -> tuple[int | None, int | None]:
        first = asyncio.ensure_future(exchange(app, "POST", PREDICT.encode(), HI))
        while not blocked.specs:
            await asyncio.sleep(0.01)
        status = await exchange(app, "GET", b"/v1/models/chat")
        blocked.release.set()
        return status[0], (await first)[0]

    assert asyncio.run(scene()) == (200, 200)


@pytest.mark.parametrize(
    ("path", "body", "headers", "expected"),
    [
        (PREDICT, "{", {}, ("chat", "Predict", "INVALID_ARGUMENT")),
        ("/v1/models/any:classify", "[]", {}, ("any", "Classify", "INVALID_ARGUMENT")),
        (PREDICT, "x", {"content_encoding": "gzip"}, ("chat", "Predict", "INVALID_ARGUMENT")),
        (PREDICT, " " * 200, {}, ("chat", "Predict", "RESOURCE_EXHAUSTED")),
        (PREDICT, gzip.compress(b" " * 200), {"content_encoding": "gzip"}, ("chat", "Predict", "RESOURCE_EXHAUSTED")),
    ],
    ids=["no JSON", "no object", "no gzip", "too large", "too large uncompressed"],
)
def test_requests_that_do_not_reach_the_core_are_counted(
    path: str, body: Any, headers: dict[str, str], expected: tuple[str, str, str]
) -> None:
    core = Echo()
    assert call(make_app(core, max_body_bytes=100), "POST", path, body, **headers).status_code in (400, 429)
    assert (core.refused, core.specs) == ([expected], [])


def test_requests_that_got_no_thread_are_counted_once(blocked: Blocked) -> None:
    app = make_app(blocked, threads=1, max_queued=1, timeout_ms=300)

    async def scene() -> list[int | None]:
        calls = [asyncio.ensure_future(exchange(app, "POST", PREDICT.encode(), HI)) for _ in range(3)]
        return sorted([(await each)[0] or 0 for each in calls])

    assert asyncio.run(scene()) == [429, 504, 504]
    # The one that has a thread is the core's to count.
    assert sorted(blocked.refused) == [
        ("chat", "Predict", "DEADLINE_EXCEEDED"),
        ("chat", "Predict", "RESOURCE_EXHAUSTED"),
    ]


def test_all_bodies_together_are_bounded(blocked: Blocked) -> None:
    body = b'{"instances": ["%s"]}' % (b"a" * 60)
    app = make_app(blocked, threads=2, max_body_bytes=100)

    async def scene() -> tuple[int | None, int | None, int | None]:
        first = asyncio.ensure_future(exchange(app, "POST", PREDICT.encode(), body_parts(body)))
        while not blocked.specs:
            await asyncio.sleep(0.01)
        second = await exchange(app, "POST", PREDICT.encode(), body_parts(body))
        blocked.release.set()
        return (await first)[0], second[0], (await exchange(app, "POST", PREDICT.encode(), body_parts(body)))[0]

    assert asyncio.run(scene()) == (200, 429, 200)


def test_gzipped_body_has_a_limit_of_its_own() -> None:
    plain = b'{"instances": ["hi"]' + b" " * 2**24 + b"}"
    zipped = gzip.compress(plain)
    assert call(make_app(Echo()), "POST", PREDICT, plain).status_code == 200
    answer = call(make_app(Echo()), "POST", PREDICT, zipped, content_encoding="gzip")
    assert (answer.status_code, answer.json()["error"]) == (
        429,
        "The request's body has more than 10485760 bytes uncompressed",
    )


def test_timeout_of_0_is_none() -> None:
    core = Echo()
    assert call(make_app(core, timeout_ms=0), "POST", PREDICT, '{"instances": ["hi"]}').status_code == 200
    assert core.deadlines == [NEVER]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["prompt", "b64", "x"]) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(["instances", "inputs", "signature_name", "examples", "context"])
BODIES = st.binary(max_size=40) | st.dictionaries(KEYS, JSON, max_size=3).map(lambda body: json.dumps(body).encode())
ECHO = make_app(Echo())


@settings(max_examples=300)
@given(verb=st.sampled_from(["predict", "classify", "regress"]), body=BODIES)
@pytest.mark.slow
def test_any_body_gets_json_and_never_500(verb: str, body: bytes) -> None:
    answer = call(ECHO, "POST", f"/v1/models/chat:{verb}", body)
    assert answer.status_code in (200, 400)
    assert set(answer.json()) <= {"error", "predictions", "outputs", "results"}


@settings(max_examples=300)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "TRACE"]),
    parts=st.lists(
        st.sampled_from([b"/v1/", b"/v1/models/", b"chat", b"/versions/", b"9", b"/labels/", b"/metadata", b":predict"])
        | st.binary(max_size=4),
        max_size=6,
    ),
)
def test_any_path_gets_json_and_never_500(method: str, parts: list[bytes]) -> None:
    status, fields, body, _ = asyncio.run(exchange(ECHO, method, b"/" + b"".join(parts).lstrip(b"/"), HI))
    assert status in (200, 400, 404)
    assert fields[b"content-type"] == b"application/json"
    assert isinstance(json.loads(body), dict)
