"""Bounds the time in which the calls that watch or change the server arrive, and ends streams with the server.

`grpc.server` puts it between the wire and its services; the calls that run models come by `predictions`, so that these
do not wait behind them. gRPC hands a call to a thread when its head is there: callers that send half a message would
hold all threads for ever. So every call is read here as a stream of one message, in time or not at all.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import grpc

_THREADS = 64  # of calls that wait for their message or run; they are made when they are needed
_SECONDS = 30.0  # for a message to arrive
_CROWDED_SECONDS = 2.0  # where all threads wait for messages
_CHECK_SECONDS = 1.0
_REFLECTION = "/grpc.reflection."


class _Lane:
    """A pool of threads, and the calls in it whose message has not arrived."""

    def __init__(self, name: str, *, threads: int) -> None:
        self.pool = ThreadPoolExecutor(threads, f"grpc-{name}")
        self._threads = threads
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
        allowed = _CROWDED_SECONDS if len(self._waiting) >= self._threads else _SECONDS
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

    def __init__(self) -> None:
        """Starts the thread that cuts late calls."""
        self._control = _Lane("control", threads=_THREADS)
        self._reflection = _Lane("reflection", threads=4)
        self._watches: set[Any] = set()
        self._wrapped: dict[str, grpc.RpcMethodHandler] = {}
        self._ended: threading.Event | None = None
        threading.Thread(target=self._cut_late, name="grpc-late", daemon=True).start()

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The threads of most calls."""
        return self._control.pool

    def intercept_service(self, continuation: Callable, details: grpc.HandlerCallDetails) -> Any:
        """Wraps the handler of a call."""
        if details.method not in self._wrapped:
            handler = continuation(details)
            if handler is None:
                return None
            lane = self._reflection if details.method.startswith(_REFLECTION) else self._control
            self._wrapped[details.method] = self._wrap(handler, lane)
        return self._wrapped[details.method]

    def end_watches(self) -> None:
        """Ends the calls that have no end of their own."""
        for context in list(self._watches):
            context.cancel()

    def end_with(self, ended: threading.Event) -> None:
        """Lets the threads go once the server has ended."""
        self._ended = ended

    def _wrap(self, handler: Any, lane: _Lane) -> grpc.RpcMethodHandler:
        codecs = handler.request_deserializer, handler.response_serializer
        behaviour: Any
        if handler.unary_unary:

            def answer(messages: Iterator[Any], context: Any) -> Any:
                return handler.unary_unary(lane.receive(messages, context), context)

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
        lanes = (self._control, self._reflection)
        while not (self._ended and self._ended.is_set()):
            time.sleep(_CHECK_SECONDS)
            for lane in lanes:
                lane.cut_late()
        for lane in lanes:
            lane.pool.shutdown(wait=False)
