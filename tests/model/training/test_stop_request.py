"""Signals that ask a run to stop."""

import os
import signal
import threading

import pytest

from charflow.model.training.stop_request import StopRequest


@pytest.mark.parametrize(
    ("number", "interrupted", "preempted"), [(signal.SIGINT, True, False), (signal.SIGTERM, False, True)]
)
def test_stop_request_notes_the_signal_once_it_heeds(number: int, interrupted: bool, preempted: bool) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert (stop.signal, stop.interrupted, stop.preempted) == (0, False, False)
        assert signal.getsignal(number) is before  # until there is something to save
        stop.heed()
        os.kill(os.getpid(), number)
        assert (stop.signal, stop.interrupted, stop.preempted) == (number, interrupted, preempted)
    assert signal.getsignal(number) is before


def test_stop_request_lets_a_second_ctrl_c_strike() -> None:
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        stop.heed()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_stop_request_leaves_a_signal_alone_that_is_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as behind nohup
    try:
        with StopRequest() as stop:
            stop.heed()
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.signal == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_stop_request_in_another_thread_touches_no_signal() -> None:
    found = []

    def run() -> None:
        with StopRequest() as stop:
            stop.heed()
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
