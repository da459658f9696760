"""Takes predictions from gRPC's completion queue: the one file that uses names gRPC keeps private.

`grpc.server` puts it beside gRPC's own loop, which takes all other calls. That loop gives a call a thread when its head
is there; the thread asks for the message, and is woken by the loop's thread once more. Here one thread waits for the
messages of all calls and a call gets a thread when it can run, which sends the answer itself. docs/experiments.md has
what that wins, and why `grpc.aio`, which is public, is no substitute.

A call whose message never comes holds no thread; it is cut in time, so that it holds no place either.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

import grpc
from google.protobuf import message_factory
from tensorflow_serving.apis import prediction_service_pb2

from charflow.serving.embedded.grpc.messages import refusal_of
from charflow.serving.errors import InvalidArgument, ResourceExhausted, ServingError, UsageError

try:
    from grpc._cython import cygrpc
except ImportError:
    cygrpc = None

# What a grpcio must have besides its public names, by what has it.
PRIVATE: Mapping[str, Sequence[str]] = {
    "grpc.Server": ("_cy_server",),
    "cygrpc": (
        "CompletionQueue",
        "CompletionType",
        "ReceiveCloseOnServerOperation",
        "ReceiveMessageOperation",
        "SendInitialMetadataOperation",
        "SendMessageOperation",
        "SendStatusFromServerOperation",
    ),
    "cygrpc.Server": ("register_completion_queue", "register_method", "request_registered_call"),
}

_SERVICE = prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"]
METHODS = ("Predict", "Classify", "Regress", "MultiInference")
_CROWD = 64  # calls that wait for their messages before each has less time
_SECONDS = 30.0  # for a message to arrive
_CROWDED_SECONDS = 2.0
_CHECK_SECONDS = 1.0
_PLAIN = 0  # flags of an operation
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Method:
    path: str
    parse: Callable[[bytes], Any]
    answer: Callable[[Any, Any], Any]  # of a request and its `_Call`


class _Call:
    """A call on its way; a service takes it for gRPC's `ServicerContext`."""

    def __init__(self, method: _Method, event: Any) -> None:
        self.method, self.since = method, time.monotonic()
        self.over = False  # the caller has its status, or is gone: gRPC takes nothing for it any more
        self._lock = threading.Lock()  # of `over`
        self._call, self._deadline = event.call, event.call_details.deadline
        self._status: tuple[grpc.StatusCode, str] | None = None

    def time_remaining(self) -> float:
        """Seconds until the caller's deadline."""
        return max(0.0, self._deadline - time.time())

    def is_active(self) -> bool:
        """Whether the caller still waits."""
        return not self.over

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        """Ends the method that runs; the caller gets this status."""
        self._status = code, details
        raise Exception  # without arguments, as gRPC's own does

    def start(self, operation: Any, then: Callable[[Any], None]) -> None:
        """Asks gRPC for something; `then` is handed the event once it is there."""
        self._call.start_server_batch((operation,), then)

    def cancel(self) -> None:
        """Ends it whatever runs."""
        self._call.cancel()

    def run(self, request: Any) -> None:
        """Answers."""
        try:
            answer = self.method.answer(request, self).SerializeToString()
        except Exception:
            if self._status is None:
                _logger.exception("An answer could not be sent")
            self.end(*self._status or (grpc.StatusCode.INTERNAL, "Internal error: the server's log says more"))
        else:
            self.end(grpc.StatusCode.OK, "", cygrpc.SendMessageOperation(answer, _PLAIN))

    def end(self, code: grpc.StatusCode, details: str, *message: Any) -> None:
        """Sends the status, and before it the message where there is one."""
        status = cygrpc.SendStatusFromServerOperation(None, code.value[0], details.encode(), _PLAIN)
        head = cygrpc.SendInitialMetadataOperation(None, _PLAIN)
        with self._lock:
            if not self.over:
                self._call.start_server_batch((head, *message, status), None)

    def close(self) -> None:
        """Says that it is over."""
        with self._lock:
            self.over = True


class Predictions:
    """The calls that run models: a thread that takes them, and those that answer."""

    def __init__(
        self,
        server: grpc.Server,
        service: Any,
        *,
        threads: int,
        at_most: int,
        on_refusal: Callable[[ServingError], None],
    ) -> None:
        """Takes the `METHODS` of the service out of the hands of gRPC's own loop.

        Args:
            server: not started yet.
            service: has the methods, as gRPC's servicers have.
            threads: calls that run at the same time.
            at_most: calls at the same time, those that wait for a thread or their message among them; more are refused
                with RESOURCE_EXHAUSTED.
            on_refusal: is told of each call that ends before its method is asked.

        Raises:
            UsageError: this grpcio lacks a private name.
        """
        _check_grpc(server)
        self._server, self._threads, self._on_refusal = server._cy_server, threads, on_refusal
        self._places = threading.Semaphore(at_most)
        self._queue = cygrpc.CompletionQueue()
        self._server.register_completion_queue(self._queue)
        self._methods = [_method(service, name) for name in METHODS]
        for method in self._methods:
            self._server.register_method(method.path)
        self._asked = self._open = 0  # requests for a next call, and calls that are not over
        self._arriving: dict[_Call, None] = {}  # their messages are not there yet; in the order they came
        self._check = 0.0
        self._ready: SimpleQueue[tuple[_Call, Any] | None] = SimpleQueue()

    def start(self) -> None:
        """Takes calls from now on, until the server is stopped."""
        threading.Thread(target=self._take, name="grpc-take", daemon=True).start()
        for number in range(self._threads):
            threading.Thread(target=self._answer, name=f"grpc-predict-{number}", daemon=True).start()

    def _take(self) -> None:
        for method in self._methods:
            self._ask(method)
        self._end_with_last()
        while True:
            event = self._queue.poll(time.time() + _CHECK_SECONDS)
            if event.completion_type == cygrpc.CompletionType.queue_shutdown:
                break
            if event.tag:  # none of what was sent, and of a poll that found nothing
                event.tag(event)
            del event  # it holds its call
            if time.monotonic() > self._check:
                self._cut_late()
        for _ in range(self._threads):
            self._ready.put(None)

    def _ask(self, method: _Method) -> None:
        """Asks for the next call of a method."""
        with suppress(ValueError):  # the server ends, and takes none
            self._server.request_registered_call(self._queue, self._queue, method.path, partial(self._begin, method))
            self._asked += 1

    def _begin(self, method: _Method, event: Any) -> None:
        """A call came, or none will any more."""
        self._asked -= 1
        if not event.success:
            self._end_with_last()
            return
        self._ask(method)
        call = _Call(method, event)
        self._open += 1
        call.start(cygrpc.ReceiveCloseOnServerOperation(_PLAIN), partial(self._close, call))
        if self._places.acquire(blocking=False):
            self._arriving[call] = None
            call.start(cygrpc.ReceiveMessageOperation(_PLAIN), partial(self._receive, call))
        else:
            self._on_refusal(ResourceExhausted(""))
            call.end(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many calls wait for a thread")

    def _receive(self, call: _Call, event: Any) -> None:
        """The message of a call is there, or will never be."""
        del self._arriving[call]
        message = event.batch_operations[0].message()
        if message is None:
            self._refuse(call, grpc.StatusCode.UNIMPLEMENTED, "The method takes exactly one request message")
            return
        try:
            self._ready.put((call, call.method.parse(message)))
        except Exception:  # whatever a parser raises
            self._on_refusal(InvalidArgument(""))
            self._refuse(call, grpc.StatusCode.INVALID_ARGUMENT, refusal_of(call.method.path))

    def _refuse(self, call: _Call, code: grpc.StatusCode, details: str) -> None:
        self._places.release()
        call.end(code, details)

    def _close(self, call: _Call, event: Any) -> None:
        """A call is over."""
        call.close()
        self._open -= 1
        self._end_with_last()

    def _end_with_last(self) -> None:
        if not self._asked and not self._open:
            self._queue.shutdown()

    def _answer(self) -> None:
        while ready := self._ready.get():
            call, request = ready
            try:
                call.run(request)
            finally:
                self._places.release()
            del ready, call, request  # until the next one may be long

    def _cut_late(self) -> None:
        """Cancels the calls whose message is late."""
        now = time.monotonic()
        self._check = now + _CHECK_SECONDS
        allowed = _CROWDED_SECONDS if len(self._arriving) >= _CROWD else _SECONDS
        for call in self._arriving:
            if now - call.since > allowed:
                call.cancel()


def _method(service: Any, name: str) -> _Method:
    request = message_factory.GetMessageClass(_SERVICE.methods_by_name[name].input_type)
    path = f"/{_SERVICE.full_name}/{name}"
    return _Method(path=path, parse=request.FromString, answer=getattr(service, name))


def _check_grpc(server: grpc.Server) -> None:
    owners = {"grpc.Server": server, "cygrpc": cygrpc, "cygrpc.Server": getattr(server, "_cy_server", None)}
    for owner, names in PRIVATE.items():
        for name in names:
            if not hasattr(owners[owner], name):
                raise UsageError(
                    f"grpcio {grpc.__version__} has no {owner}.{name}, by which the embedded server takes calls: "
                    "install the grpcio of charflow's constraints.txt, or serve with tensorflow_model_server or its "
                    "Docker image."
                )
