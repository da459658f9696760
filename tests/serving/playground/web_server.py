"""A web server in front of a model server: it gives out the page's folder, and passes /v1/ on."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.support import ROOT

FOLDER = ROOT / "serving" / "embedded" / "playground"


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, api: httpx.Client, **options: Any) -> None:
        self._api = api
        super().__init__(*args, directory=str(FOLDER), **options)

    def do_GET(self) -> None:
        if self.path.startswith("/v1/"):
            self._pass_on(b"")
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

    def _pass_on(self, body: bytes) -> None:
        answer = self._api.request(self.command, self.path, content=body)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class WebServer:
    """One that can go away and come back; a connection is closed with each answer."""

    def __init__(self, rest: str) -> None:
        """Passes on to the REST address `rest`."""
        self._handler = partial(_Handler, api=httpx.Client(base_url=f"http://{rest}", trust_env=False, timeout=60))
        self._port = 0
        self.start()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listens, on the same port as before."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Hangs up."""
        self._server.shutdown()
        self._server.server_close()
