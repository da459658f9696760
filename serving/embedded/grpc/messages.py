"""Refuses gRPC messages that are none of their type, and methods that nobody wrote, as the caller's mistake.

`grpc.server` puts it around its services. gRPC itself answers what cannot be parsed with INTERNAL, and logs a traceback
for each of both.
"""

from collections.abc import Callable, Iterator
from typing import Any

import grpc

_REFUSAL = "The message cannot be parsed as a {}"


class _Unreadable:
    """What stands for a message that could not be parsed."""


class ReadableMessages(grpc.ServerInterceptor):
    """Wraps every method of a server, so that only messages reach it."""

    def __init__(self, on_refusal: Callable[[], None]) -> None:
        """`on_refusal` is told of each message that was refused."""
        self._on_refusal = on_refusal
        self._wrapped: dict[str, grpc.RpcMethodHandler] = {}

    def intercept_service(self, continuation: Callable, details: grpc.HandlerCallDetails) -> Any:
        """Wraps the handler of a call."""
        if details.method not in self._wrapped:
            handler = continuation(details)
            if handler is None:
                return None
            self._wrapped[details.method] = self._wrap(handler, details.method)
        return self._wrapped[details.method]

    def _wrap(self, handler: Any, method: str) -> grpc.RpcMethodHandler:
        def parse(data: bytes) -> Any:
            try:
                return handler.request_deserializer(data)
            except Exception:  # whatever a parser raises
                return _Unreadable()

        def checked(message: Any, context: Any) -> Any:
            if isinstance(message, _Unreadable):
                self._on_refusal()
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, _REFUSAL.format(f"request of {method}"))
            return message

        def each(messages: Iterator[Any], context: Any) -> Iterator[Any]:
            return (checked(message, context) for message in messages)

        codecs = parse, handler.response_serializer
        if handler.unary_unary:

            def answer(message: Any, context: Any) -> Any:
                try:
                    return handler.unary_unary(checked(message, context), context)
                except NotImplementedError:  # of a method that a service's own library leaves out
                    context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method} is not implemented")

            return grpc.unary_unary_rpc_method_handler(answer, *codecs)
        if handler.unary_stream:

            def watch(message: Any, context: Any, *send: Any) -> Any:
                return handler.unary_stream(checked(message, context), context, *send)

            for name, value in vars(handler.unary_stream).items():
                setattr(watch, name, value)
            return grpc.unary_stream_rpc_method_handler(watch, *codecs)

        def talk(messages: Iterator[Any], context: Any) -> Any:
            return handler.stream_stream(each(messages, context), context)

        return grpc.stream_stream_rpc_method_handler(talk, *codecs)
