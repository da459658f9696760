"""Exit statuses of the command, and the exception that carries a saved interruption to it."""

import signal

USER_MISTAKE = 2
INTERRUPTED = 128 + signal.SIGINT


class Interrupted(Exception):  # noqa: N818  # it is no error
    """Ctrl-C was obeyed in good order; the message says what was saved."""
