"""The sign of life, on a screen that is a list of characters."""

import io
import time

import pytest
from rich.console import Console

from charflow.cli import console
from charflow.cli import waiting as module
from charflow.cli.waiting import waiting


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=written, force_terminal=True, width=60))
    return written


def test_waiting_shows_what_takes_long_and_takes_it_away(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0.01)
    with waiting("reading"):
        time.sleep(0.4)
    shown = screen.getvalue()
    assert "reading …" in shown
    assert "0:00:00" in shown
    assert shown.endswith("\x1b[1A\x1b[2K")  # the line is cleared


def test_waiting_is_silent_about_what_is_quick(screen: io.StringIO) -> None:
    with waiting("reading"):
        pass
    assert screen.getvalue() == ""


def test_waiting_is_silent_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=written, force_terminal=False))
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0.01)
    with waiting("reading"):
        time.sleep(0.2)
    assert written.getvalue() == ""


def test_waiting_ends_with_what_it_waits_for(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0.01)
    with pytest.raises(KeyError), waiting("reading"):
        time.sleep(0.1)
        raise KeyError
    before = screen.getvalue()
    time.sleep(0.3)
    assert screen.getvalue() == before
