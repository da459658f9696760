"""Ctrl-C and SIGTERM, at whatever moment: one line, and the process ends within about a second.

Python runs its handlers between two of its own instructions: they wait while TensorFlow computes, and what they raise
there may be swallowed. So a thread hears every signal as it comes, leaves the command a moment to end in good order,
and ends the process itself where that does not happen. What commands write withstands that as it does a power cut.
`charflow.cli` starts it before anything heavy is loaded. A command that needs longer to end well (`train`, `launch`,
`serve`) puts handlers of its own in place, and is left alone until the second Ctrl-C.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ClassVar, NoReturn

from charflow.cli.exit_status import INTERRUPTED, PREEMPTED, Interrupted
from charflow.pipeline.errors import visible

GRACE = 1.0  # seconds that a command has to end in good order
_TIDYING = 0.5  # seconds for what is to be done at exit
_STATUS = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: PREEMPTED}
_WIPED = b"\r\x1b[2K\x1b[?25h"  # takes a progress bar's row away and shows the cursor again


class Terminated(SystemExit):
    """SIGTERM came; whoever catches nothing leaves with its status."""

    def __init__(self) -> None:
        super().__init__(PREEMPTED)


class _State:
    """The signal that struck, what is said of it, and whether it has been."""

    struck = 0
    message: ClassVar[Callable[[], str]] = str  # which gives no text
    told = False


@contextmanager
def heard() -> Iterator[None]:
    """Hears signals while a command runs inside, and ends the process with its status."""
    _install()
    status: object = 0
    try:
        yield
    except SystemExit as leaving:  # how every command ends
        if isinstance(leaving, Terminated):
            _tell()
        status = leaving.code
    except (Exception, KeyboardInterrupt):  # a library may have made something else of it
        if not _State.struck:
            raise
        _tell()
        status = _STATUS[signal.Signals(_State.struck)]
    finally:
        _State.told = True
        _let_strike()
    _end(status)


def message(number: int) -> str:
    """What to say where a signal ended a command."""
    return _State.message() or ("interrupted." if number == signal.SIGINT else "stopped by SIGTERM.")


@contextmanager
def saying(what: str, *, when: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Says this where a signal ends the work inside.

    Args:
        what: to say.
        when: whether it is true by then, and said at all.

    Raises:
        Interrupted: it did, in good order.
    """

    def said() -> str:
        return visible(what) if when() else ""

    before, _State.message = _State.message, said
    try:
        yield
    except (KeyboardInterrupt, Terminated) as stop:
        if not when():
            raise
        raise Interrupted(what, status=PREEMPTED if isinstance(stop, Terminated) else INTERRUPTED) from None
    finally:
        _State.message = before


def _install() -> None:
    for number in _STATUS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as behind nohup
            signal.signal(number, _strike)
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    stderr = os.dup(2)  # load_tensorflow turns the descriptor itself away for a while
    threading.Thread(target=_listen, args=(woken, stderr), daemon=True).start()


def _strike(number: int, _: FrameType | None) -> None:
    _State.struck = number
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _let_strike() -> None:
    """From here on the process is only taken down: a signal may end it at once, without a word."""
    for number in _STATUS:
        if signal.getsignal(number) == _strike:
            signal.signal(number, signal.SIG_DFL)


def _listen(woken: int, stderr: int) -> None:
    interrupted = False
    while True:
        for number in os.read(woken, 1 << 10):
            if number in _STATUS and (signal.getsignal(number) == _strike or (interrupted and number == signal.SIGINT)):
                what = message(number)
                time.sleep(GRACE)  # most often the process ends here
                if not _State.told:
                    wiped = _WIPED if os.isatty(stderr) else b""
                    os.write(stderr, wiped + f"charflow: {what}\n".encode(errors="replace"))
                _State.struck = number
                _end(_STATUS[signal.Signals(number)])
            interrupted |= number == signal.SIGINT


def _tell() -> None:
    print(f"charflow: {message(_State.struck)}", file=sys.stderr)


def _end(status: object) -> NoReturn:
    """Ends the process without taking TensorFlow down, which lasts for seconds: only what we are to do at exit is done.

    Where a signal came, that has little time.
    """
    code = status if isinstance(status, int) else int(status is not None)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            pass
        except (OSError, ValueError):
            code = code or 1
    tidying = threading.Thread(target=atexit._run_exitfuncs, daemon=True)
    tidying.start()
    tidying.join(_TIDYING if _State.struck else None)
    os._exit(code)
