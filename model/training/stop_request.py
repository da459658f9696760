"""Ctrl-C and SIGTERM while a run trains: the first one asks it to save and stop, a second Ctrl-C interrupts at once.

`trainer` looks at it after every call of the graph.
"""

import signal
import threading
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """A context that gives the signals their handlers back in the end.

    Until `heed` is called a signal does what it did before the run: there is nothing to save before the first step is
    done, and its compiling should not be waited for. In a thread other than the main one no signal is heard.

    Attributes:
        signal: that asked to stop; 0 if none did.
    """

    def __init__(self) -> None:
        self.signal = 0

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.getsignal(number) for number in _STOPPING}
        return self

    def __exit__(self, *_: object) -> None:
        if _in_main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def heed(self) -> None:
        """Turns signals into requests from now on."""
        if _in_main_thread():
            for number in _STOPPING:
                if signal.getsignal(number) != signal.SIG_IGN:  # as behind nohup
                    signal.signal(number, self._ask)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C asked."""
        return self.signal == signal.SIGINT

    @property
    def preempted(self) -> bool:
        """Whether SIGTERM asked, as who takes a machine away does."""
        return self.signal == signal.SIGTERM

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
