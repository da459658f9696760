"""Runs a server as a child: its log goes through, signals and the exit status are passed on.

The back ends that are not the embedded server run here; `ready` knows when they can be called.
"""

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

_POLL = 0.2  # seconds between two questions whether it is ready


def run_child(command: Sequence[str], *, is_ready: Callable[[], bool], announce: Callable[[], None]) -> int:
    """Runs a command to its end and returns its exit status, 128 + n if signal n ended it.

    Args:
        command: program and arguments.
        is_ready: asked every now and then until it says yes.
        announce: called then.
    """
    with _signals_passed_on() as send_to:
        # In a session of its own a Ctrl-C of the terminal reaches the child once, from here, not twice.
        child = subprocess.Popen(command, start_new_session=True)
        send_to(child)
        while not _ended(child):
            if is_ready():
                announce()
                break
        status = child.wait()
    return 128 - status if status < 0 else status


def _ended(child: subprocess.Popen) -> bool:
    try:
        child.wait(_POLL)
    except subprocess.TimeoutExpired:
        return False
    return True


@contextmanager
def _signals_passed_on() -> Iterator[Callable[[subprocess.Popen], None]]:
    """Passes SIGTERM and SIGINT on to a child, those from before it was there too."""
    children: list[subprocess.Popen] = []
    early: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        if not children:
            early.append(number)
        for child in children:
            child.send_signal(number)

    def send_to(child: subprocess.Popen) -> None:
        children.append(child)
        for number in early:
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield send_to
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
