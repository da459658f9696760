"""A request and an answer as ASGI has them: what of a web framework this door needs.

Starlette matches decoded paths, in which a model name's `%2F` is a `/` like any other, and answers unknown paths and
methods in words of its own; so `app` routes by itself, and nothing else of a framework would be left.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class ClientGone(Exception):  # noqa: N818  # nobody is left to be told of an error
    """The client closed the connection."""


def header(scope: Scope, name: str) -> str:
    """A field of a request's head, several of one name joined; "" without it."""
    wanted = name.lower().encode()
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == wanted)


@dataclass(frozen=True, kw_only=True)
class Response:
    """An answer.

    Attributes:
        body: its bytes.
        status: of HTTP.
        media_type: of the body; empty for none.
        headers: besides length and type.
    """

    body: bytes = b""
    status: int = 200
    media_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, send: Send, *, head_only: bool) -> None:
        """Sends it; to a HEAD request without the body."""
        fields = {**self.headers, "content-length": str(len(self.body))}
        if self.media_type:
            fields["content-type"] = self.media_type
        head = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": head})
        await send({"type": "http.response.body", "body": b"" if head_only else self.body})
