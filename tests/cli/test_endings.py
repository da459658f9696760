"""Every way a run of `train` can end, under every strategy: how soon, with which status, and what is left to see.

Standard error is a terminal of 80 columns. Measured is the time from the event to the end of the process; the bound is
for a busy machine, `pytest -rP` prints what a test measured.
"""

import fcntl
import os
import pty
import re
import resource
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from charflow.model.run.run_dir import RunDir
from tests import forked

SOON = 60.0  # seconds, on a machine that does much else; a quiet one takes one or two, beside evaluating and sampling
LONGEST = 240.0  # seconds for a run that should last a few
CHARFLOW = [sys.executable, "-m", "charflow"]
TWO_CPUS = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from charflow.cli import main
main(sys.argv[1:])
"""
STRATEGIES = {
    "one device": [*CHARFLOW, "train", "CHAT", "--strategy", "one-device"],
    "mirrored": [sys.executable, "-c", TWO_CPUS, "train", "CHAT", "--strategy", "mirrored"],
    "workers": [*CHARFLOW, "launch", "--workers", "2", "--", "train", "CHAT"],
    "streaming": [*CHARFLOW, "train", "CORPUS", "--streaming"],
}
SMALL = ["--units", "16", "--window-length", "20", "--batch-size", "16", "--seed", "3", "--no-cache"]
ENDLESS = ["--steps", "1000000", "--evaluations", "4"]


@dataclass(frozen=True)
class Event:
    """A way to end.

    Attributes:
        options: of train.
        begins: gives the moment of the event, once it has come.
        status: of the process.
        says: what the last line of standard error matches.
        full_disk: no file can grow over 30 kB.
    """

    options: list[str]
    begins: Callable[["Run"], float]
    status: int
    says: str
    full_disk: bool = False


class Run:
    """A run that is being watched, its standard error on a terminal of 80 columns."""

    def __init__(self, command: list[str], out: Path, *, full_disk: bool) -> None:
        self.out = out
        self._terminal, stderr = pty.openpty()
        fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        limit = (30_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        self.process = forked.Popen(
            [*command, "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
        )
        if full_disk:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limit)
        os.close(stderr)
        self._written = bytearray()
        self._readers = [threading.Thread(target=each, daemon=True) for each in (self._read, self._drain)]
        for reader in self._readers:
            reader.start()

    def has_steps(self, count: int) -> bool:
        """Waits until so many steps are done, or the process is."""
        losses = RunDir(self.out).losses_file
        return self._wait(lambda: losses.exists() and losses.stat().st_size >= 4 * count)

    def has_settings(self) -> bool:
        """Waits until the run is about to compile its first step."""
        return self._wait(RunDir(self.out).config_file.exists)

    def ended(self) -> tuple[int, str]:
        """Waits for its end; gives the status and what the terminal then shows."""
        status = self.process.wait(LONGEST)
        for reader in self._readers:
            reader.join(10)
        os.close(self._terminal)
        return status, shown(self._written.decode(errors="replace"))

    def _wait(self, come: Callable[[], bool]) -> bool:
        end = time.monotonic() + LONGEST
        while not come():
            assert time.monotonic() < end, "nothing happened"
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)
        return True

    def _read(self) -> None:
        while True:
            try:
                self._written += (piece := os.read(self._terminal, 1 << 16))
            except OSError:
                return
            if not piece:
                return

    def _drain(self) -> None:
        assert self.process.stdout
        with suppress(ValueError):  # closed meanwhile: nobody reads on
            while self.process.stdout.read1(1 << 16):
                pass


def shown(written: str) -> str:
    """What a terminal shows of a text with the control codes that progress bars use."""
    lines, row = [""], 0
    for token in re.findall(r"\x1b\[[0-9;?]*[@-~]|[\r\n]|[^\x1b\r\n]+", written):
        if token == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif token.endswith("A") and token.startswith("\x1b["):
            row = max(0, row - int(token[2:-1] or 1))
        elif token == "\x1b[2K":
            lines[row] = ""
        elif not token.startswith("\x1b") and token != "\r":
            lines[row] += token
    assert written.count("\x1b[?25l") <= written.count("\x1b[?25h"), "the cursor stays hidden"
    return "\n".join(lines)


# --- events


def _by_itself(run: Run) -> float:
    """The moment of the last step: its loss is the last thing written to that file."""
    run.process.wait(LONGEST)
    return RunDir(run.out).losses_file.stat().st_mtime if RunDir(run.out).losses_file.exists() else time.time()


def _signalled(*numbers: signal.Signals) -> Callable[[Run], float]:
    def send(run: Run) -> float:
        assert run.has_steps(30)
        began = time.time()
        for number in numbers:
            run.process.send_signal(number)
            time.sleep(0.05)
        return began

    return send


def _while_compiling(run: Run) -> float:
    assert run.has_settings()
    run.process.send_signal(signal.SIGINT)
    return time.time()


def _unread(run: Run) -> float:
    assert run.has_steps(5)
    assert run.process.stdout
    run.process.stdout.close()
    return _by_itself(run)


SAVED = r"charflow: interrupted after step [\d,]+; saved in \S+, --resume goes on from there\."
KEPT = r"charflow: interrupted; --resume goes on from what was saved in \S+\."
EVENTS = {
    "last step": Event(["--time-limit", "2"], _by_itself, 0, r"looking for copied text …"),
    "early stop": Event(
        ["--steps", "4000", "--evaluations", "400", "--patience", "1", "--dropout", "0", "--learning-rate", "0.1"],
        _by_itself,
        0,
        r"looking for copied text …",
    ),
    "Ctrl-C": Event(ENDLESS, _signalled(signal.SIGINT), 130, SAVED),
    "Ctrl-C twice": Event(ENDLESS, _signalled(signal.SIGINT, signal.SIGINT), 130, f"{SAVED}|{KEPT}"),
    "Ctrl-C while compiling": Event(ENDLESS, _while_compiling, 130, KEPT),
    "SIGTERM": Event(ENDLESS, _signalled(signal.SIGTERM), 143, SAVED.replace("interrupted", "preempted")),
    "divergence": Event(
        ["--learning-rate", "1e20", "--optimizer", "sgd", "--clip-norm", "0", *ENDLESS],
        _by_itself,
        2,
        r"charflow: The loss diverged after step .*",
    ),
    "full disk": Event(
        ["--checkpoint-every", "20", *ENDLESS], _by_itself, 2, r"charflow: The checkpoint of step .*", full_disk=True
    ),
    "closed pipe": Event(["--steps", "60", "--evaluations", "1"], _unread, 0, r"looking for copied text …"),
}
PAIRS = [
    *(("one device", event) for event in EVENTS),
    *(("mirrored", event) for event in ("last step", "Ctrl-C")),
    *(("workers", event) for event in ("last step", "Ctrl-C", "SIGTERM", "full disk")),
    *(("streaming", event) for event in ("last step", "SIGTERM")),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, sample_chat: str) -> Iterator[dict[str, str]]:
    corpus = tmp_path_factory.mktemp("prepared") / "corpus"
    forked.run([*CHARFLOW, "prepare", sample_chat, "--to", str(corpus)], check=True)
    yield {"CHAT": sample_chat, "CORPUS": str(corpus)}


@pytest.mark.parametrize(("strategy", "name"), PAIRS, ids=[f"{name}, {strategy}" for strategy, name in PAIRS])
def test_a_run_ends_soon_and_says_how(strategy: str, name: str, places: dict[str, str], tmp_path: Path) -> None:
    event = EVENTS[name]
    command = [places.get(word, word) for word in STRATEGIES[strategy]]
    run = Run([*command, *SMALL, *event.options], tmp_path / "run", full_disk=event.full_disk)
    try:
        began = event.begins(run)
        status, screen = run.ended()
        seconds = time.time() - began
    finally:
        run.process.kill()
    print(f"{name}, {strategy}: {seconds:.1f} s from the event to the end")
    at_once = [-signal.SIGINT] if name == "Ctrl-C twice" else []  # the second finds nothing left to be done
    assert status in [event.status, *at_once], screen
    assert seconds < SOON, screen
    assert "━" not in screen, f"a bar stays:\n{screen}"
    lines = [re.sub(r"^\[\d\] ", "", line) for line in screen.rstrip().split("\n")]
    assert any(re.fullmatch(event.says, line) for line in _sentences(lines)), screen
    assert "Traceback" not in screen


def _sentences(lines: list[str]) -> list[str]:
    """The last lines, each with those that it was broken into."""
    return ["\n".join(lines[start:]).replace("\n", " ") for start in range(max(0, len(lines) - 8), len(lines))] + lines
