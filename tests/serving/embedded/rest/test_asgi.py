import asyncio
from typing import Any

import pytest

from charflow.serving.embedded.rest.asgi import Response, header

SCOPE = {"headers": [(b"accept", b"a"), (b"origin", b"http://p\xe9"), (b"accept", b"b")]}


@pytest.mark.parametrize(("name", "value"), [("Origin", "http://pé"), ("accept", "a,b"), ("Range", "")])
def test_header_joins_the_fields_of_a_name(name: str, value: str) -> None:
    assert header(SCOPE, name) == value


@pytest.mark.parametrize(("head_only", "body"), [(False, b"hello"), (True, b"")])
def test_response_says_its_length_and_type(head_only: bool, body: bytes) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    answer = Response(body=b"hello", status=418, media_type="text/plain", headers={"Vary": "Origin"})
    asyncio.run(answer.send(send, head_only=head_only))
    head = [(b"vary", b"Origin"), (b"content-length", b"5"), (b"content-type", b"text/plain")]
    assert sent == [
        {"type": "http.response.start", "status": 418, "headers": head},
        {"type": "http.response.body", "body": body},
    ]
