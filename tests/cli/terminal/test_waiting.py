"""The sign of life, on a screen that is a list of characters."""

import io
import time
from collections.abc import Callable

import pytest

from charflow.cli.terminal import waiting as module
from charflow.cli.terminal.waiting import waiting


def test_waiting_shows_what_takes_long_and_takes_it_away(terminal: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0.01)
    _, screen = terminal(60, "err")
    with waiting("reading"):
        time.sleep(0.4)
    shown = screen.getvalue()
    assert "reading …" in shown
    assert "0:00:00" in shown
    assert shown.endswith("\x1b[1A\x1b[2K")  # the line is cleared


def test_waiting_is_silent_about_what_is_quick(terminal: Callable) -> None:
    _, screen = terminal(60, "err")
    with waiting("reading"):
        pass
    assert screen.getvalue() == ""


def test_waiting_is_silent_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", written := io.StringIO())
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0.01)
    with waiting("reading"):
        time.sleep(0.2)
    assert written.getvalue() == ""


def test_waiting_ends_with_what_it_waits_for(terminal: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0.01)
    _, screen = terminal(60, "err")
    with pytest.raises(KeyError), waiting("reading"):
        time.sleep(0.1)
        raise KeyError
    before = screen.getvalue()
    time.sleep(0.3)
    assert screen.getvalue() == before
