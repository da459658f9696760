"""Processes of Python that begin with TensorFlow loaded, which costs each of them four seconds of a processor else.

`Popen` is that of `subprocess`, but that a server forks the process: one for each worker of the suite, which has loaded
the libraries and the packages below `charflow.cli`, has no thread but its own, and runs no operation, as TensorFlow's
threads would not be there after a fork. The process has its own arguments, environment, folder, streams, session and
status, and is a child of who asked for it. What it starts of Python itself, before TensorFlow runs in it, is forked
from it in turn: workers of `launch`, servers of `serve`. What a process does while Python and TensorFlow load is not
seen: the environment variables that they read then, the locale, messages, a signal meanwhile. Tests of these use
`subprocess`. CHARFLOW_THOROUGH=1 has real processes everywhere.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from tests.support import ROOT, THOROUGH

_PR_SET_CHILD_SUBREAPER = 36
_LARGEST = 1 << 17  # bytes of a request
_ONE_AT_A_TIME = threading.Lock()


class _Forked(subprocess.Popen):
    """A child whose parent has it forked elsewhere, where its command is one of this environment's Python."""

    _close_pipe_fds: Any

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, *more: Any) -> None:
        pass_fds, cwd, env, _, _, shell, p2cread, _, _, c2pwrite, _, errwrite, _, gid, gids, uid, umask, *group = more
        arguments = _of_python(args)
        odd = executable or pass_fds or shell or gid or gids or uid or umask != -1
        if odd or not arguments or not self._can_fork(preexec_fn):
            super()._execute_child(args, executable, preexec_fn, close_fds, *more)
            return
        request = {
            "arguments": arguments,
            "folder": os.fspath(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
            "group": group,
        }
        streams = enumerate((p2cread, c2pwrite, errwrite))
        self.pid = self._fork(request, [number if stream == -1 else stream for number, stream in streams], preexec_fn)
        self._child_created = True
        self._close_pipe_fds(*more[6:12])

    def _can_fork(self, preexec_fn: Any) -> bool:
        return not preexec_fn

    def _fork(self, request: dict[str, Any], streams: list[int], _: Any) -> int:
        return _fork(request, streams)


class _Nested(_Forked):
    """A child of such a process, which has it forked from itself, while all of its threads are Python's."""

    def _can_fork(self, _: Any) -> bool:
        return sum(1 for _ in Path("/proc/self/task").iterdir()) == threading.active_count()

    def _fork(self, request: dict[str, Any], streams: list[int], preexec_fn: Callable[[], None] | None) -> int:
        streams = [os.dup(stream) for stream in streams]
        for text in (sys.stdout, sys.stderr):
            text.flush()
        if pid := os.fork():
            for stream in streams:
                os.close(stream)
            return pid
        return _begin_anew(request, streams, preexec_fn)


def _of_python(command: Any) -> list[str] | None:
    """What such a command would hand to Python: a script, `-c` or `-m`, and arguments."""
    if not isinstance(command, list):
        return None
    first, *rest = words = [os.fspath(word) for word in command]
    if first == sys.executable:
        return rest if not rest[0].startswith("-") or rest[0] in ("-c", "-m") else None
    return words if Path(first).parent == Path(sys.executable).parent else None


Popen = subprocess.Popen if THOROUGH or sys.platform != "linux" else _Forked


def run(
    command: list[str], *, timeout: float = 300, check: bool = False, **options: Any
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run` of such a process; its output is text, and captured unless it goes elsewhere."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with Popen(command, text=True, **streams) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


# --- who asks


def _fork(request: dict[str, Any], streams: list[int]) -> int:
    """Has a process forked, and becomes its parent; returns its id."""
    with _ONE_AT_A_TIME:
        server, prctl = _server(), ctypes.CDLL(None).prctl
        prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # below us, who loses its parent meanwhile becomes a child of ours
        try:
            socket.send_fds(server, [json.dumps(request).encode()], streams)
            return int(server.recv(_LARGEST))
        finally:
            prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@cache
def _server() -> socket.socket:
    """Starts the server, which ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fixed = {"OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}  # threads would not live on in a fork
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, **fixed},
        )  # fmt: skip
    return ours


# --- the server


def _load() -> None:
    """Loads what commands load, but what is made for the process that a command runs in: `charflow.cli`."""
    import charflow

    sys.modules["pyarrow"] = None  # pandas would load it, which starts threads
    for module in pkgutil.walk_packages(charflow.__path__, "charflow."):
        if not module.name.startswith("charflow.cli") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("keras", "rich.console", "rich.progress", "rich.table", "typer.main"):
        importlib.import_module(name)
    del sys.modules["pyarrow"]
    assert len(list(Path("/proc/self/task").iterdir())) == 1
    gc.collect()
    gc.freeze()


def _serve() -> list[str]:
    """Forks a process for each request; returns in each of these, with its arguments."""
    asked = socket.socket(fileno=os.dup(0))
    while True:
        request, streams, _, _ = socket.recv_fds(asked, _LARGEST, 3)
        if not request:
            os._exit(0)
        reading, writing = os.pipe()
        if not (between := os.fork()):
            between = os.getpid()
            if child := os.fork():
                os.write(writing, str(child).encode())
                os._exit(0)
            while os.getppid() == between:
                time.sleep(0.001)  # until it is a child of who asked
            asked.close()
            os.closerange(reading, writing + 1)
            _become(json.loads(request), streams)
            subprocess.Popen = _Nested
            return json.loads(request)["arguments"]
        os.waitpid(between, 0)
        asked.send(os.read(reading, 100))
        for descriptor in (reading, writing, *streams):
            os.close(descriptor)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    for stream, descriptor in enumerate(streams):
        os.dup2(descriptor, stream)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False, buffering=1 if os.isatty(1) else -1)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, buffering=1, errors="backslashreplace")  # noqa: SIM115
    new_session, group = request["group"]
    if new_session:
        os.setsid()
    if group != -1:
        os.setpgid(0, group)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])


def _begin_anew(request: dict[str, Any], streams: list[int], preexec_fn: Callable[[], None] | None) -> NoReturn:
    """Does what a process is for that was forked in the midst of another command, of which nothing stays."""
    status: object = 1
    atexit._clear()  # what that other command removes at its end
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        _become(request, streams)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        if preexec_fn:
            preexec_fn()
        for name in [name for name in sys.modules if name.startswith("charflow.cli")]:
            del sys.modules[name]
        _run(request["arguments"])
        status = None
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        for text in (sys.stdout, sys.stderr):
            text.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))


def _run(arguments: list[str]) -> None:
    """Does what Python does with its arguments."""
    sys.modules["__main__"] = types.ModuleType("__main__")
    first, *rest = arguments
    if first == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), vars(sys.modules["__main__"]))
    elif first == "-m":
        sys.argv, sys.path[0] = ["-m", *rest[1:]], str(Path.cwd())
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = arguments, str(Path(first).parent)
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    _load()
    _run(_serve())
