"""The playground: a page at / that lets people play with the models, by the REST calls that anybody can make.

`app` asks here for what is not under /v1/. The page's files lie beside the code in `embedded/playground`; any web
server can serve that folder in front of TensorFlow Serving, too, as long as /v1/ of the same origin is its REST port.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources

from charflow.serving.embedded.rest.asgi import Response
from charflow.serving.embedded.rest.transfer import pack_body

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}
# Nothing but the page's own files and calls of its own origin; no inline script or style, no frame around it. The page
# says so itself, too, but for the frame, which only a header may forbid: another web server may send none.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # files of two releases do not fit together
}
_FIRST, _MODELS = "index.html", "models.json"


class Playground:
    """Answers for the page's files.

    Args:
        model_names: gives the names of the models that are served, which `models.json` lists.
    """

    def __init__(self, model_names: Callable[[], Sequence[str]]) -> None:
        self._model_names = model_names

    def find(self, path: str, *, accepted: str) -> Response | None:
        """The answer to a GET or HEAD request, None if the page has no such file.

        Args:
            path: as it was sent, with its leading slash, without a query.
            accepted: the request's Accept-Encoding.
        """
        name = path.removeprefix("/") or _FIRST
        content = json.dumps(list(self._model_names())).encode() if name == _MODELS else _files().get(name)
        if content is None:
            return None
        body, encoding = pack_body(content, accepted)
        return Response(body=body, media_type=MEDIA_TYPES[name.rpartition(".")[2]], headers={**HEADERS, **encoding})


@functools.cache
def _files() -> Mapping[str, bytes]:
    """What the files hold, by name; their folder has no folders in it."""
    folder = resources.files("charflow.serving.embedded") / "playground"
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in MEDIA_TYPES}
