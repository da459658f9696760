"""Answers calls in the shape of OpenAI's API: completions, whole or as server-sent events, and the list of models.

`app` asks it about paths that TensorFlow Serving does not have. The core does the work, in the threads of REST.
"""

import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from charflow.serving.embedded.rest.asgi import ClientGone, Response, Send
from charflow.serving.embedded.rest.completions.char_log_probs import char_log_probs
from charflow.serving.embedded.rest.completions.request import CompletionRequest, parse_request
from charflow.serving.embedded.rest.completions.writing import Predict, Text, Writing
from charflow.serving.errors import ServingError
from charflow.serving.http_status import HTTP_STATUS

COMPLETIONS, MODELS = b"/v1/completions", b"/v1/models"
_AT_ONCE, _PIECE = 256, 16  # characters of a call; where somebody watches
_JSON, _EVENTS = "application/json", "text/event-stream; charset=utf-8"
_LAST = b"data: [DONE]\n\n"

Run = Callable[[Callable[[Predict], Any]], Awaitable[Any]]  # has work done in a thread, and hands it what predicts


@dataclass(frozen=True, kw_only=True)
class EventStream(Response):
    """An answer that comes in pieces.

    Attributes:
        events: gives them.
    """

    events: AsyncIterator[bytes]

    async def send(self, send: Send, *, head_only: bool) -> None:
        """Sends them as they come; who has gone is not sent the rest."""
        fields = {**self.headers, "content-type": self.media_type, "cache-control": "no-cache"}
        head = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": head})
        try:
            async for event in self.events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except ClientGone:
            return
        await send({"type": "http.response.body", "body": b""})


class Completions:
    """Answers for the two paths.

    Args:
        model_names: gives the names of the models that are served.
    """

    def __init__(self, model_names: Callable[[], Sequence[str]]) -> None:
        self._model_names = model_names
        self._started = int(time.time())

    def models(self) -> Response:
        """The models that are served."""
        about = {"object": "model", "created": self._started, "owned_by": "charflow"}
        return _json({"object": "list", "data": [{"id": name, **about} for name in self._model_names()]})

    async def complete(self, body: bytes, run: Run) -> Response:
        """The completions that a request asks for.

        Args:
            body: of the request.
            run: has work done in a thread, with what runs a signature.

        Raises:
            ServingError: the request is wrong, or as the model answers; of a stream, to its first piece.
        """
        request = parse_request(body)
        answer = _Answer(request)
        if not request.stream:
            return _json(await run(answer.whole))
        return EventStream(media_type=_EVENTS, events=answer.events(await run(answer.next_pieces), run))

    def refusal(self, error: ServingError) -> bytes:
        """The body of an error as OpenAI's clients read it."""
        return json.dumps(_error(error)).encode()


class _Answer:
    """The JSON of one request's texts."""

    def __init__(self, request: CompletionRequest) -> None:
        self._request, self._writing = request, Writing(request)
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": request.model,
        }
        self._begun: set[int] = set()
        self._ended: set[int] = set()

    def whole(self, predict: Predict) -> dict[str, Any]:
        """All texts at once."""
        while not self._writing.is_done:
            self._writing.go_on(predict, _AT_ONCE)
        return {**self._head, "choices": self._choices(predict), "usage": self._usage()}

    def next_pieces(self, predict: Predict) -> list[dict[str, Any]]:
        """What each text has more than before, after some characters; one piece for each that has more."""
        self._writing.go_on(predict, _PIECE)
        return [{**self._head, "choices": [choice]} for choice in self._choices(predict)]

    async def events(self, pieces: list[dict[str, Any]], run: Run) -> AsyncIterator[bytes]:
        """Server-sent events: these pieces and all after them; a count, if that was asked for; and a last word."""
        while True:
            for piece in pieces:
                yield _event(piece)
            if self._writing.is_done:
                break
            try:
                pieces = await run(self.next_pieces)
            except ServingError as error:
                yield _event(_error(error))
                return
        if self._request.include_usage:
            yield _event({**self._head, "choices": [], "usage": self._usage()})
        yield _LAST

    def _choices(self, predict: Predict) -> list[dict[str, Any]]:
        """Those of texts that have something new, or have come to their end, since they were asked for before."""
        choices = []
        for text in self._writing.texts:
            start, end = text.fresh(self._request.stops)
            echo = self._request.echo and text.index not in self._begun
            if text.index not in self._ended and (end > start or echo or text.reason):
                choices.append(self._choice(predict, text, start, end, echo=echo))
        return choices

    def _choice(self, predict: Predict, text: Text, start: int, end: int, *, echo: bool) -> dict[str, Any]:
        self._begun.add(text.index)
        if text.reason:
            self._ended.add(text.index)
        judged = None
        if (ranked := self._request.logprobs) is not None:
            judged = char_log_probs(predict, self._writing.spec, text, start, end, ranked=ranked, echo=echo)
        written = (text.prompt if echo else "") + text.text[start:end]
        return {"text": written, "index": text.index, "logprobs": judged, "finish_reason": text.reason}

    def _usage(self) -> dict[str, int]:
        read, written = (sum(map(len, each)) for each in (self._request.prompts, [t.text for t in self._writing.texts]))
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _error(error: ServingError) -> dict[str, Any]:
    kind = "invalid_request_error" if HTTP_STATUS[error.code] < 500 else "server_error"
    return {"error": {"message": error.message, "type": kind, "param": None, "code": error.code.lower()}}


def _json(document: dict[str, Any]) -> Response:
    return Response(body=json.dumps(document).encode(), media_type=_JSON)


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"
