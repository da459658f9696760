"""The REST door: TensorFlow Serving's HTTP protocol in front of the core.

A request comes from uvicorn; `calls` reads its path, `transfer` moves its body and finds it a thread,
`bodies` and `answers` translate; the core does the work. The event loop itself only routes.
"""

import asyncio
import dataclasses
import functools
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.signature import ServedSignature
from charflow.serving.embedded.core.spec import Answer, Classification, ModelSpec, Regression
from charflow.serving.embedded.rest.answers import (
    format_classification,
    format_error,
    format_metadata,
    format_prediction,
    format_regression,
    format_statuses,
)
from charflow.serving.embedded.rest.asgi import ClientGone, Receive, Response, Scope, Send, header
from charflow.serving.embedded.rest.bodies import parse_examples, parse_predict
from charflow.serving.embedded.rest.calls import Call, parse_call
from charflow.serving.embedded.rest.completions.answers import COMPLETIONS, MODELS, Completions
from charflow.serving.embedded.rest.completions.writing import Predict
from charflow.serving.embedded.rest.playground import Playground
from charflow.serving.embedded.rest.transfer import (
    BodyTooLarge,
    Held,
    Workers,
    pack_body,
    read_body,
    unpack_body,
)
from charflow.serving.errors import FailedPrecondition, Internal, NotFound, ServingError, Unavailable
from charflow.serving.http_status import HTTP_STATUS
from charflow.serving.version_status import VersionStatus

_CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_JSON, _METRICS_TYPE = "application/json", "text/plain; version=0.0.4; charset=utf-8"
_PROBE_THREADS = 2
_AUTHORITY = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)

_logger = logging.getLogger(__name__)


class RestCore(Protocol):
    """What the door asks of the core. Every method may raise a ServingError."""

    def predict(
        self,
        spec: ModelSpec,
        feed: Callable[[ServedSignature], Mapping[str, np.ndarray]],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
        api: str,
    ) -> Answer:
        """Runs a signature on what `feed` gives for it."""

    def classify(
        self, spec: ModelSpec, examples: Sequence[bytes], *, deadline: Deadline = NEVER, api: str
    ) -> Classification:
        """Classifies serialised tf.Examples."""

    def regress(
        self, spec: ModelSpec, examples: Sequence[bytes], *, deadline: Deadline = NEVER, api: str
    ) -> Regression:
        """Finds the values of serialised tf.Examples."""

    def count_refused(self, name: str, error: ServingError, *, method: str = "Predict", api: str) -> None:
        """Counts a request to the model that did not reach the core; one that did is counted already."""

    def metadata(self, spec: ModelSpec) -> tuple[int, Mapping[str, meta_graph_pb2.SignatureDef]]:
        """The version that is served, and its signatures."""

    def statuses(self, spec: ModelSpec) -> list[VersionStatus]:
        """The versions of a model, highest first."""


class RestApp:
    """The ASGI application of the REST port."""

    def __init__(
        self,
        core: RestCore,
        *,
        timeout_ms: int,
        enable_cors: bool,
        metrics: Callable[[], bytes] | None,
        metrics_path: str,
        threads: int,
        max_queued: int,
        max_body_bytes: int,
        playground: Playground | None = None,
        completions: Completions | None = None,
    ) -> None:
        """Makes the application.

        Args:
            core: answers the calls.
            timeout_ms: what a request may take once its body is there, waiting for a thread included; 0 for no limit.
            enable_cors: whether answers let pages of other origins read them.
            metrics: gives the page at `metrics_path`; None for no such page.
            metrics_path: its path.
            threads: requests that are worked on at once.
            max_queued: requests that may wait for a thread; more are refused with RESOURCE_EXHAUSTED.
            max_body_bytes: of a request's body as it comes, and of all bodies at the same time; more get 429. What a
                gzipped body becomes has a lower limit of its own.
            playground: the page at /; None for no such page.
            completions: answers calls in the shape of OpenAI's API; None for none.
        """
        self._core = core
        self._timeout_ms = timeout_ms
        self._cors = _CORS_HEADERS if enable_cors else {}
        self._metrics = metrics
        self._metrics_path = metrics_path.encode()
        self._max_body_bytes = max_body_bytes
        self._playground, self._completions = playground, completions
        self._held = Held(max_body_bytes)
        self._workers = Workers(threads, max_queued=max_queued)
        # Status, metadata and metrics do not wait behind predictions.
        self._probes = Workers(_PROBE_THREADS, max_queued=max_queued)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._respond(scope, receive)
        except ClientGone:
            return
        except ServingError as error:
            response = self._refusal(error)
        except asyncio.CancelledError:  # the time that calls had to end in after a signal is over
            ending = Unavailable("The server is ending, and the call was not done in time")
            response = self._refusal(ending, close=True)
        except Exception:
            _logger.exception("A REST request failed")
            response = self._refusal(Internal("Internal error: the server's log says more"))
        await response.send(send, head_only=scope["method"] == "HEAD")

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        """Routes a request by its path as it was sent."""
        target = _AUTHORITY.sub(b"", scope["raw_path"], count=1)
        if self._metrics is not None and target == self._metrics_path:
            page = await self._probes.run(self._metrics, receive, self._deadline())
            return Response(body=page, media_type=_METRICS_TYPE)
        if not target.lower().startswith(b"/v1/"):
            return self._page(target.decode("utf-8", "replace"), scope)
        if scope["method"] == "OPTIONS":
            if not re.search("https?://", header(scope, "Origin")):
                raise FailedPrecondition("Origin header is missing in CORS preflight")
            return Response(headers=self._cors)
        if self._completions is not None and (scope["method"], target) in (("GET", MODELS), ("POST", COMPLETIONS)):
            found = await self._complete(self._completions, target, scope, receive)
            return dataclasses.replace(found, headers={**found.headers, **self._cors})
        query = scope["query_string"]
        call = parse_call(scope["method"], target + b"?" + query if query else target)
        if scope["method"] == "GET":
            accepted = header(scope, "Accept-Encoding")
            body, headers = await self._probes.run(
                lambda: pack_body(self._describe(call), accepted), receive, self._deadline()
            )
        else:
            try:
                body, headers = await self._read_and_infer(call, scope, receive)
            except ServingError as error:
                self._core.count_refused(call.spec.name, error, method=call.verb.capitalize(), api="REST")
                raise
        return Response(body=body, headers={**headers, **self._cors}, media_type=_JSON)

    def _page(self, path: str, scope: Scope) -> Response:
        """A file of the playground."""
        found = None
        if self._playground is not None and scope["method"] in ("GET", "HEAD"):
            found = self._playground.find(path, accepted=header(scope, "Accept-Encoding"))
        if found is None:
            raise NotFound(f"Not found: {path}")
        return found

    async def _complete(self, completions: Completions, target: bytes, scope: Scope, receive: Receive) -> Response:
        """Completions, or the models that write them."""

        async def run(work: Callable[[Predict], Any]) -> Any:
            deadline = self._deadline()
            predict = functools.partial(self._core.predict, deadline=deadline, api="REST")
            return await self._workers.run(lambda: work(predict), receive, deadline)

        if target == MODELS:
            return completions.models()
        try:
            parts = await read_body(receive, header(scope, "Content-Length"), self._max_body_bytes, self._held)
            self._held.drop(sum(map(len, parts)))
            body = unpack_body(parts, header(scope, "Content-Encoding"), self._max_body_bytes)
            return await completions.complete(body, run)
        except ServingError as error:
            self._core.count_refused("", error, api="REST")
            return dataclasses.replace(self._refusal(error), body=completions.refusal(error))

    async def _read_and_infer(self, call: Call, scope: Scope, receive: Receive) -> tuple[bytes, dict[str, str]]:
        parts = await read_body(receive, header(scope, "Content-Length"), self._max_body_bytes, self._held)
        size = sum(map(len, parts))
        deadline = self._deadline()
        encoding, accepted = header(scope, "Content-Encoding"), header(scope, "Accept-Encoding")
        infer = functools.partial(self._infer, call, parts, encoding, deadline)
        try:
            return await self._workers.run(lambda: pack_body(infer(), accepted), receive, deadline)
        finally:
            self._held.drop(size)

    def _deadline(self) -> Deadline:
        return Deadline.after(self._timeout_ms / 1000) if self._timeout_ms else NEVER

    def _refusal(self, error: ServingError, *, close: bool = False) -> Response:
        headers = {"Connection": "close"} if close or isinstance(error, BodyTooLarge) else {}
        return Response(
            body=format_error(error.message).encode("utf-8", "replace"),
            status=HTTP_STATUS[error.code],
            headers={**headers, **self._cors},
            media_type=_JSON,
        )

    def _describe(self, call: Call) -> bytes:
        if call.verb == "metadata":
            version, signatures = self._core.metadata(call.spec)
            return format_metadata(call.spec.name, version, signatures).encode()
        return format_statuses(self._core.statuses(call.spec)).encode()

    def _infer(self, call: Call, parts: list[bytes], encoding: str, deadline: Deadline) -> bytes:
        body = unpack_body(parts, encoding, self._max_body_bytes)
        parts.clear()
        if call.verb == "predict":
            request = parse_predict(body)
            del body  # it may be large, and so may be what is made of it
            spec = dataclasses.replace(call.spec, signature=request.signature)
            try:
                answer = self._core.predict(spec, request.feed, deadline=deadline, api="REST")
            finally:
                request.empty()  # of what a call that was refused never read
            text = format_prediction(answer.outputs, by_rows=request.by_rows)
        else:
            name, examples = parse_examples(body)
            spec = dataclasses.replace(call.spec, signature=name)
            if call.verb == "classify":
                text = format_classification(self._core.classify(spec, examples, deadline=deadline, api="REST"))
            else:
                text = format_regression(self._core.regress(spec, examples, deadline=deadline, api="REST"))
        return text.encode("utf-8", "surrogateescape")
