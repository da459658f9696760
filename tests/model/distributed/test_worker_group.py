"""A group of real processes: what they write, how they end together, what signals do. No TensorFlow."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charflow.model.distributed.stop_signals import StopSignals
from charflow.model.distributed.worker_group import Ending, run_workers

WORKER = [sys.executable, "-S", "-c", "import os, signal, sys, time; exec(os.environ['DO'])"]
WAIT = "print('ready', flush=True); time.sleep(60)"
ON_TERM = "signal.signal(signal.SIGTERM, lambda *_: sys.exit({status})); "
IGNORE = "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN); "
KILLED = "time.sleep(0.3); os.kill(os.getpid(), 9)"


class Written:
    """Collects what the workers write; `at_ready` is called once all of them have written "ready"."""

    def __init__(self, at_ready: Callable[[], None] | None = None) -> None:
        self.text: dict[tuple[int, str], str] = {}
        self._waiting_for, self._at_ready = 0, at_ready

    def wrote(self, worker: int, stream: str, chunk: bytes) -> None:
        self.text[worker, stream] = self.text.get((worker, stream), "") + chunk.decode()
        if self._at_ready and all("ready" in self.text.get((index, "out"), "") for index in range(2)):
            at_ready, self._at_ready = self._at_ready, None
            at_ready()


def run(*codes: str, grace: float = 10.0, written: Written | None = None, **options: Any) -> Ending:
    with StopSignals() as signals:
        return run_workers(
            WORKER,
            [{"DO": code} for code in codes],
            grace=grace,
            listener=written or Written(),
            signals=signals,
            **options,
        )


def send(*numbers: int) -> Callable[[], None]:
    def send() -> None:
        for number in numbers:
            os.kill(os.getpid(), number)

    return send


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_streams_are_handed_on_by_worker() -> None:
    written = Written()
    ending = run("print('a')", "print('b'); print('c', file=sys.stderr)", written=written)
    assert ending == Ending(status=0, chief_done=True)
    assert written.text == {(0, "out"): "a\n", (0, "err"): "", (1, "out"): "b\n", (1, "err"): "c\n"}


def test_a_worker_cannot_wait_for_input() -> None:
    assert run("sys.exit(len(sys.stdin.read()))").status == 0


@pytest.mark.parametrize(
    ("code", "status", "killed_by"),
    [("sys.exit(3)", 3, None), ("os.kill(os.getpid(), 9)", 137, "SIGKILL"), ("os.abort()", 134, "SIGABRT")],
    ids=["exit", "kill", "abort"],
)
def test_one_failure_ends_the_others_and_is_the_status(code: str, status: int, killed_by: str | None) -> None:
    started = time.monotonic()
    ending = run(ON_TERM.format(status=0) + WAIT, f"time.sleep(0.3); {code}", WAIT)
    assert ending == Ending(status=status, worker=1, killed_by=killed_by)
    assert time.monotonic() - started < 8  # not the grace


def test_a_worker_that_fails_for_its_peer_does_not_hide_it() -> None:
    assert run(ON_TERM.format(status=1) + WAIT, KILLED) == Ending(status=137, worker=1, killed_by="SIGKILL")


def test_a_worker_that_misses_a_peer_waits_for_the_peer_to_be_blamed() -> None:
    assert run("sys.exit(9)", "time.sleep(0.8); sys.exit(2)", WAIT, peer_lost=9) == Ending(status=2, worker=1)


def test_a_worker_that_misses_a_peer_is_blamed_if_nobody_else_ends() -> None:
    assert run("sys.exit(9)", WAIT, "time.sleep(0.3); sys.exit(9)", peer_lost=9) == Ending(status=9, worker=0)


def test_a_worker_killed_after_the_grace_is_not_blamed() -> None:
    assert run("sys.exit(9)", IGNORE + WAIT, grace=0.3, peer_lost=9) == Ending(status=9, worker=0)


def test_the_first_failure_counts() -> None:
    assert run("time.sleep(0.6); sys.exit(4)", "sys.exit(5)").worker == 1


def test_a_worker_that_does_not_end_is_killed_after_the_grace() -> None:
    started = time.monotonic()
    assert run(IGNORE + WAIT, KILLED, grace=0.5).worker == 1
    assert 0.5 < time.monotonic() - started < 8


def test_a_failure_after_the_chief_is_done_is_told_apart() -> None:
    assert run("", KILLED) == Ending(status=137, worker=1, killed_by="SIGKILL", chief_done=True)
    assert not run("time.sleep(60)", KILLED).chief_done


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"])
def test_a_signal_is_passed_on_to_all_once(number: int, status: int) -> None:
    count = f"times = []; signal.signal({int(number)}, lambda *_: times.append(1)); {WAIT.split(';')[0]}; "
    count += (
        f"[time.sleep(0.05) for _ in iter(lambda: len(times), 1)]; time.sleep(0.4); print(times); sys.exit({status})"
    )
    again = [signal.SIGTERM] if number == signal.SIGTERM else []
    written = Written(at_ready=send(number, *again))
    assert run(count, count, written=written).status == status
    assert [written.text[index, "out"] for index in range(2)] == ["ready\n[1]\n"] * 2


def test_workers_may_end_well_on_a_signal() -> None:
    calm = ON_TERM.format(status=0) + WAIT
    assert run(calm, calm, written=Written(at_ready=send(signal.SIGTERM))).status == 0


def test_the_second_interruption_kills() -> None:
    started = time.monotonic()
    ending = run(IGNORE + WAIT, IGNORE + WAIT, written=Written(at_ready=send(signal.SIGINT, signal.SIGINT)))
    assert ending.status == 130
    assert time.monotonic() - started < 8


def test_a_signal_before_the_start_reaches_the_workers() -> None:
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        ending = run_workers(WORKER, [{"DO": WAIT}] * 2, grace=5.0, listener=Written(), signals=signals)
    assert (ending.status, signals.asked) == (143, [signal.SIGTERM])


def test_handlers_are_those_of_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    run("")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)] == before


def test_only_the_chief_has_a_terminal() -> None:
    tell = "print(sys.stderr.isatty(), os.get_terminal_size(2).columns if sys.stderr.isatty() else 0); "
    written = Written()
    run(
        tell + "print('a\\nb', file=sys.stderr)", tell, written=written, terminal_size=lambda: os.terminal_size((71, 9))
    )
    assert written.text == {(0, "out"): "True 71\n", (0, "err"): "a\nb\n", (1, "out"): "False 0\n", (1, "err"): ""}


def test_the_terminal_follows_a_change_of_size() -> None:
    sizes = iter(range(50, 1000))
    wait = "[time.sleep(0.05) for _ in iter(lambda: os.get_terminal_size(2).columns > 50, True)]"
    assert run(wait, terminal_size=lambda: os.terminal_size((next(sizes), 9))).status == 0


def test_a_process_that_holds_the_output_does_not_hold_the_group() -> None:
    started = time.monotonic()
    written = Written()
    hold = "import subprocess; p = subprocess.Popen(['sleep', '20']); print(p.pid)"
    assert run(hold, written=written).status == 0
    assert time.monotonic() - started < 10
    os.kill(int(written.text[0, "out"]), signal.SIGKILL)


def test_long_output_arrives_whole() -> None:
    written = Written()
    run("print('x' * 1_000_000)", written=written)
    assert written.text[0, "out"] == "x" * 1_000_000 + "\n"


def test_no_worker_is_left_when_the_output_cannot_be_written() -> None:
    pids: list[int] = []

    class Full:
        def wrote(self, worker: int, stream: str, chunk: bytes) -> None:
            pids.append(int(chunk))
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(*[f"{IGNORE}print(os.getpid(), flush=True); time.sleep(60)"] * 2, written=Full())
    assert not is_running(pids[0])


def test_no_worker_is_left_when_the_program_is_not_there() -> None:
    with StopSignals() as signals, pytest.raises(FileNotFoundError):
        run_workers(["/no/such/program"], [{}], grace=1.0, listener=Written(), signals=signals)


@pytest.mark.skipif(sys.platform != "linux", reason="run on Linux: elsewhere there is no parent-death signal")
def test_workers_die_with_the_process_that_started_them() -> None:
    code = (
        "import sys; from charflow.model.distributed.worker_group import *\n"
        "class Show:\n    def wrote(self, worker, stream, chunk): print(chunk.decode(), end='', flush=True)\n"
        "with StopSignals() as signals:\n"
        f"    run_workers({WORKER!r}, [{{'DO': {IGNORE!r} + 'print(os.getpid(), flush=True); time.sleep(60)'}}] * 2,\n"
        "                grace=1.0, listener=Show(), signals=signals)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        assert all(is_running(pid) for pid in pids)
        parent.kill()
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "workers outlived the process that started them"
        time.sleep(0.05)
