"""One worker as a child process: how it is started, read, signalled, and kept from outliving its parent.

Part of charflow.model; `worker_group` watches several of them.
"""

import ctypes
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence

_CHUNK = 1 << 16
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # found here: not between fork and exec


class WorkerProcess:
    """A worker that has been started, in a session of its own: a terminal's Ctrl-C reaches it through us alone.

    Linux kills it when we die, even if we are killed ourselves. That binds it to the thread that started it, so the
    main thread does.

    Args:
        index: which worker it is.
        command: program and arguments.
        environ: its whole environment.
        terminal_size: if given, its standard error is a terminal of this size, so that it draws its progress bar.

    Attributes:
        streams: by file descriptor, the name of what can be read there: "out" or "err".
        status: exit status, 128 + n if signal n ended it; None while it runs.
    """

    def __init__(
        self,
        index: int,
        command: Sequence[str],
        environ: Mapping[str, str],
        terminal_size: Callable[[], os.terminal_size] | None = None,
    ) -> None:
        self.index = index
        self._told: set[int] = set()
        self._terminal_size = terminal_size
        self._shown_size: os.terminal_size | None = None
        out, child_out = os.pipe()
        err, child_err = os.openpty() if terminal_size else os.pipe()
        self._terminal = err if terminal_size else None
        self.streams = {out: "out", err: "err"}
        try:
            if terminal_size:
                _leave_newlines_alone(child_err)
                self.fit_terminal()
            self._process = subprocess.Popen(
                command,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=child_out,
                stderr=child_err,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()) if _prctl else None,
            )
        except BaseException:
            self.close()
            raise
        finally:
            os.close(child_out)
            os.close(child_err)

    @property
    def status(self) -> int | None:
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    @property
    def killed_by(self) -> str | None:
        """Name of the signal that ended it; None if none did."""
        code = self._process.poll()
        return signal.Signals(-code).name if code is not None and code < 0 else None

    def tell(self, number: int) -> None:
        """Sends it a signal, unless it has had that one from here before."""
        if number not in self._told:
            self._told.add(number)
            self._process.send_signal(number)

    def kill(self) -> None:
        """Ends it, and every process that it has started, at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Waits for its end."""
        self._process.wait()

    def read(self, stream: int) -> bytes:
        """Takes what it wrote to one of its streams; b"" once that has ended, and the stream is closed."""
        try:
            chunk = os.read(stream, _CHUNK)
        except OSError:  # EIO: how a terminal ends on Linux
            chunk = b""
        if not chunk:
            self._close(stream)
        return chunk

    def fit_terminal(self) -> None:
        """Lets its terminal follow the size of ours."""
        if self._terminal is None or self._terminal_size is None:
            return
        size = self._terminal_size()
        if size != self._shown_size:
            self._shown_size = size
            termios.tcsetwinsize(self._terminal, (size.lines, size.columns))

    def close(self) -> None:
        """Stops reading."""
        for stream in list(self.streams):
            self._close(stream)

    def _close(self, stream: int) -> None:
        del self.streams[stream]
        if stream == self._terminal:
            self._terminal = None
        os.close(stream)


def _leave_newlines_alone(terminal: int) -> None:
    modes = termios.tcgetattr(terminal)
    modes[1] &= ~termios.OPOST  # the terminal that shows it will add the carriage returns
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


def _die_with(parent: int) -> Callable[[], None]:
    def bind() -> None:
        assert _prctl
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before that
            os.kill(os.getpid(), signal.SIGKILL)

    return bind
