"""Ctrl-C and SIGTERM at any moment: one line, the right status, and soon."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable

import pytest

SOON = 10.0  # seconds: on a busy machine; a quiet one takes about one
SAID = {signal.SIGINT: "charflow: interrupted.\n", signal.SIGTERM: "charflow: stopped by SIGTERM.\n"}
both = pytest.mark.parametrize("number", list(SAID), ids=lambda number: number.name)

BEGINNING = "import sys, time\nfrom charflow.cli import interrupts\nwith interrupts.heard():\n"
READY = "    print('ready', flush=True)\n"
DEAF = (
    "    while True:\n"
    "        try: print('ready', flush=True); time.sleep(0.1)\n"
    "        except BaseException: pass\n"
)  # fmt: skip


def told(code: str, number: signal.Signals, *, times: int = 1) -> tuple[int, str, float]:
    """Runs code that is to be interrupted once it says so; gives its status, its errors and the seconds to its end."""
    with subprocess.Popen(
        [sys.executable, "-c", BEGINNING + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.2)
        began = time.monotonic()
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors, time.monotonic() - began


@both
def test_a_command_that_hears_the_signal_says_so(number: signal.Signals) -> None:
    assert told(f"{READY}    time.sleep(60)\n", number)[:2] == (128 + number, SAID[number])


@both
def test_a_command_that_swallows_the_signal_is_ended(number: signal.Signals) -> None:
    status, errors, seconds = told(DEAF, number)
    assert (status, errors) == (128 + number, SAID[number])
    assert seconds < SOON


@both
def test_what_a_library_makes_of_the_signal_is_not_shown(number: signal.Signals) -> None:
    code = "    try: time.sleep(60)\n    except BaseException: raise RuntimeError('inside a callback')\n"
    assert told(READY + code, number)[:2] == (128 + number, SAID[number])


@both
def test_a_command_says_what_it_keeps_however_it_is_ended(number: signal.Signals) -> None:
    orderly = f"    try:\n      with interrupts.saying('all is kept.'):\n  {READY}        time.sleep(60)\n"
    orderly = orderly.replace("    print", "      print") + (
        "    except interrupts.Interrupted as error: print(error, file=sys.stderr); sys.exit(error.status)\n"
    )
    assert told(orderly, number)[:2] == (128 + number, "all is kept.\n")
    swallowed = "    with interrupts.saying('all is kept.'):\n" + textwrap.indent(DEAF, "    ")
    assert told(swallowed, number)[:2] == (128 + number, "charflow: all is kept.\n")


def test_a_command_with_handlers_of_its_own_is_left_alone_until_the_second_ctrl_c() -> None:
    own = "    import signal\n    signal.signal(signal.SIGINT, lambda *_: None)\n" + READY
    finishes = f"{own}    end = time.monotonic() + 2\n    while time.monotonic() < end: time.sleep(0.1)\n"
    assert told(finishes, signal.SIGINT)[:2] == (0, "")
    status, errors, seconds = told(f"{own}    while True: time.sleep(0.1)\n", signal.SIGINT, times=2)
    assert (status, errors) == (130, SAID[signal.SIGINT])
    assert seconds < SOON


def test_leftovers_are_tidied_up_where_the_process_is_ended() -> None:
    code = "    import atexit; atexit.register(lambda: print('tidied', file=sys.stderr, flush=True))\n" + DEAF
    assert told(code, signal.SIGINT)[1] == SAID[signal.SIGINT] + "tidied\n"


@pytest.mark.parametrize("moment", [0.3, 1.0, 2.5])
@both
def test_no_moment_of_a_commands_start_has_a_traceback(
    number: signal.Signals, moment: float, sample_chat: str, start: Callable[..., subprocess.Popen]
) -> None:
    with start("explore", sample_chat, "--user", "mira", real=True) as process:
        time.sleep(moment)
        process.send_signal(number)
        began = time.monotonic()
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) in [
        (128 + number, SAID[number]),
        (0, errors),  # it was done by then
    ], errors
    assert "Traceback" not in errors
    assert time.monotonic() - began < SOON
