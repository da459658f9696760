"""Exit statuses of the command, and how an interruption reaches it in good order."""

import signal

USER_MISTAKE = 2
INTERRUPTED = 128 + signal.SIGINT
PREEMPTED = 128 + signal.SIGTERM
PEER_LOST = 129  # from 128 on, so that what restarts a preempted worker restarts this one too


class Interrupted(Exception):  # noqa: N818  # it is no error
    """A signal was obeyed in good order.

    The message says what was saved, and is empty where that has been said; the status tells which signal it was.
    """

    def __init__(self, message: str, *, status: int = INTERRUPTED) -> None:
        super().__init__(message)
        self.status = status
