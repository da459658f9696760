"""Listens for REST with uvicorn: bounds on connections, and an end within a given time.

`server` opens and stops it, `connection` is one caller, `app` the application.
"""

import asyncio
import errno
import functools
import logging
import os
import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any

import uvicorn

from charflow.serving.embedded.rest.asgi import App
from charflow.serving.embedded.rest.connection import ConnectionBounds, RestConnection, check_all
from charflow.serving.listening import BACKLOG

_logger = logging.getLogger(__name__)
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
_HANDSHAKE_SECONDS, _GOODBYE_SECONDS = 10.0, 2.0  # for TLS to begin, and to end
_BURST = 16  # connections accepted in one turn of the loop, before the bound on their number can be seen to


class RestServer(uvicorn.Server):
    """A REST server that is not yet listening."""

    def __init__(self, app: App, *, bounds: ConnectionBounds, grace: float, tls: ssl.SSLContext | None = None) -> None:
        """Makes the server.

        Args:
            app: answers.
            bounds: what callers may take.
            grace: seconds that requests have to end in when the server is stopped; then they are cancelled.
            tls: None does not encrypt.
        """
        super().__init__(
            uvicorn.Config(
                app,
                http=functools.partial(RestConnection, bounds=bounds),  # type: ignore[arg-type]  # makes a protocol
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=_BURST,
                timeout_keep_alive=round(bounds.idle_seconds),
                timeout_graceful_shutdown=round(grace),
                timeout_notify=0,
                callback_notify=self._check,  # about once a second
                ssl_context_factory=(lambda *_: tls) if tls else None,
            )
        )
        self._thread: threading.Thread | None = None
        self._spare = os.open(os.devnull, os.O_RDONLY)

    def start(self, sockets: Sequence[socket.socket]) -> None:
        """Answers on listening sockets from now on."""
        self._thread = threading.Thread(target=self.run, kwargs={"sockets": list(sockets)}, name="rest", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Takes no new calls, and lets those that run finish within the grace."""
        self.should_exit = True

    def join(self, seconds: float) -> bool:
        """Waits for the end, and tells whether it came."""
        if self._thread is None:
            return True
        self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Runs in the event loop of the server's thread."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_error)
        if self.config.is_ssl:  # uvicorn passes no times on, and asyncio's own are 60 and 30 s
            create = functools.partial(
                loop.create_server,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
            loop.create_server = create  # type: ignore[method-assign]
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to accept, with the queue that the sockets were given."""
        await super().startup(sockets)
        for each in sockets or []:
            each.listen(BACKLOG)  # uvicorn takes one number for the queue and the burst

    async def _check(self) -> None:
        check_all(self.server_state, asyncio.get_running_loop().time())

    def _on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _NO_DESCRIPTOR and "socket" in context:
            self._shed(context["socket"].fileno())
            _logger.error("No file descriptor is left (ulimit -n): new connections are hung up on")
        else:
            loop.default_exception_handler(context)

    def _shed(self, listening: int) -> None:
        """Hangs up on who waits to be accepted when there is no descriptor, so that nobody waits for nothing."""
        os.close(self._spare)
        with socket.socket(fileno=os.dup(listening)) as listener:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    break
        self._spare = os.open(os.devnull, os.O_RDONLY)
