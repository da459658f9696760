"""Gives gRPC calls their threads once they have arrived, and ends streams with the server.

`grpc.server` puts it between the wire and its services. gRPC hands a call to a thread when its head is there: callers
that send half a message would hold all threads for ever. So every call is read here as a stream of one message, in
time or not at all, and only then takes a place among those that run. Calls that watch or change the server have a pool
of their own: they must not wait behind predictions, nor these behind them.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import grpc

_RECEIVING = 64  # threads of a pool that may wait for messages; they are made when they are needed
_SECONDS = 30.0  # for a message to arrive
_CROWDED_SECONDS = 2.0  # where all threads that may wait for messages do
_CHECK_SECONDS = 1.0
_PREDICTIONS = "/tensorflow.serving.PredictionService/"
_METADATA = _PREDICTIONS + "GetModelMetadata"
_REFLECTION = "/grpc.reflection."


class _Pool(ThreadPoolExecutor):
    """Says when it takes a call."""

    def __init__(self, threads: int, name: str, on_call: Callable[[], None]) -> None:
        super().__init__(threads, thread_name_prefix=name)
        self._on_call = on_call

    def submit(self, *call: Any, **options: Any) -> Any:
        """Takes a call."""
        self._on_call()
        return super().submit(*call, **options)


class _Lane:
    """A pool of threads, and the calls in it whose message has not arrived."""

    def __init__(self, name: str, on_call: Callable[[], None], *, receiving: int, running: int | None = None) -> None:
        self.pool = _Pool(receiving + (running or 0), f"grpc-{name}", on_call)
        self.running: AbstractContextManager[Any] = threading.Semaphore(running) if running else nullcontext()
        self._receiving = receiving
        self._waiting: dict[Any, float] = {}  # since when, by call; in the order they came

    def receive(self, messages: Iterator[Any], context: Any) -> Any:
        """Waits for the one message of a call."""
        with self.bounded(context):
            message = next(messages, None)
        if message is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "The method takes exactly one request message")
        return message

    def bounded(self, context: Any) -> AbstractContextManager[None]:
        """Cuts a call that stays in the block for too long."""
        return _Waiting(self._waiting, context)

    def cut_late(self) -> None:
        """Cancels the calls whose message is late; sooner where those that wait leave no thread for others."""
        now = time.monotonic()
        allowed = _CROWDED_SECONDS if len(self._waiting) >= self._receiving else _SECONDS
        for context, since in list(self._waiting.items()):
            if now - since > allowed:
                self._waiting.pop(context, None)
                context.cancel()


class _Waiting(AbstractContextManager[None]):
    def __init__(self, waiting: dict[Any, float], context: Any) -> None:
        self._waiting, self._context = waiting, context

    def __enter__(self) -> None:
        self._waiting[self._context] = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._waiting.pop(self._context, None)


class Arrivals(grpc.ServerInterceptor):
    """Wraps every method of a server."""

    def __init__(self, *, threads: int, on_refusal: Callable[[], None] = lambda: None) -> None:
        """Starts the thread that cuts late calls.

        Args:
            threads: predictions that run at the same time.
            on_refusal: is told of each prediction that gRPC refused because too many wait, when the next call comes.
        """
        self._on_refusal, self._offered = on_refusal, ""
        self._predictions = _Lane("predict", self._take, receiving=_RECEIVING, running=threads)
        self._control = _Lane("control", self._take, receiving=_RECEIVING)
        self._reflection = _Lane("reflection", self._take, receiving=4)
        self._watches: set[Any] = set()
        self._wrapped: dict[str, grpc.RpcMethodHandler] = {}
        self._ended: threading.Event | None = None
        threading.Thread(target=self._cut_late, name="grpc-late", daemon=True).start()

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The threads of predictions."""
        return self._predictions.pool

    def intercept_service(self, continuation: Callable, details: grpc.HandlerCallDetails) -> Any:
        """Wraps the handler of a call."""
        if self._offered.startswith(_PREDICTIONS):  # gRPC tells nobody whom it refuses: no pool took the last one
            self._on_refusal()
        self._offered = details.method
        if details.method not in self._wrapped:
            handler = continuation(details)
            if handler is None:
                return None
            self._wrapped[details.method] = self._wrap(handler, self._lane(details.method))
        return self._wrapped[details.method]

    def _take(self) -> None:
        """A pool took the call; in gRPC's one thread, before the next comes."""
        self._offered = ""

    def end_watches(self) -> None:
        """Ends the calls that have no end of their own."""
        for context in list(self._watches):
            context.cancel()

    def end_with(self, ended: threading.Event) -> None:
        """Lets the threads go once the server has ended."""
        self._ended = ended

    def _lane(self, method: str) -> _Lane:
        if method.startswith(_PREDICTIONS) and method != _METADATA:
            return self._predictions
        return self._reflection if method.startswith(_REFLECTION) else self._control

    def _wrap(self, handler: Any, lane: _Lane) -> grpc.RpcMethodHandler:
        codecs = handler.request_deserializer, handler.response_serializer
        behaviour: Any
        if handler.unary_unary:

            def answer(messages: Iterator[Any], context: Any) -> Any:
                request = lane.receive(messages, context)
                with lane.running:
                    return handler.unary_unary(request, context)

            behaviour, kind = answer, grpc.stream_unary_rpc_method_handler
        elif handler.unary_stream:  # the health service's Watch, whose answers come from other threads

            def watch(messages: Iterator[Any], context: Any, send: Callable[[Any], None]) -> Any:
                self._register(context)
                return handler.unary_stream(lane.receive(messages, context), context, send)

            watch.experimental_non_blocking = True  # type: ignore[attr-defined]
            behaviour, kind = watch, grpc.stream_stream_rpc_method_handler
        else:  # reflection, which a client asks a few things and leaves

            def talk(messages: Iterator[Any], context: Any) -> Iterator[Any]:
                self._register(context)
                with lane.bounded(context):
                    yield from handler.stream_stream(messages, context)

            behaviour, kind = talk, grpc.stream_stream_rpc_method_handler
        behaviour.experimental_thread_pool = lane.pool
        return kind(behaviour, *codecs)

    def _register(self, context: Any) -> None:
        self._watches.add(context)
        context.add_callback(lambda: self._watches.discard(context))

    def _cut_late(self) -> None:
        lanes = (self._predictions, self._control, self._reflection)
        while not (self._ended and self._ended.is_set()):
            time.sleep(_CHECK_SECONDS)
            for lane in lanes:
                lane.cut_late()
        for lane in lanes:
            lane.pool.shutdown(wait=False)
