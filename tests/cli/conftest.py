"""Ways to call commands in this process, and what they are called with."""

import io
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from charflow.cli.app import run
from charflow.cli.terminal.console import Screen
from charflow.model.config import Config
from tests.support import Outcome


@pytest.fixture
def call(capsys: pytest.CaptureFixture) -> Callable[..., Outcome]:
    """Runs a command in this process."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        return Outcome(status, *capsys.readouterr())

    return call


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Screen, Terminal]]:
    """Makes standard output, or standard error, a terminal of so many columns."""

    def terminal(width: int, stream: str = "out") -> tuple[Screen, Terminal]:
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(f"sys.std{stream}", written := Terminal())
        screen = Screen(stderr=stream == "err")
        monkeypatch.setattr(f"charflow.cli.terminal.console.{stream}", screen)
        return screen, written

    return terminal


@pytest.fixture
def refused(call: Callable[..., Outcome]) -> Callable[..., str]:
    """Runs a command that must fail by the user's mistake; returns the message, which must be one line.

    A command that fails on its way may have shown something before: pass `underway=True`.
    """

    def refused(*arguments: object, underway: bool = False) -> str:
        done = call(*arguments)
        assert done.status == 2, done
        assert "Traceback" not in done.err
        before, _, message = done.err.rpartition("charflow: ")
        before = re.sub(r"^charflow: note: .*\n", "", before, flags=re.MULTILINE)  # remarks on the text are no failure
        assert underway or (before, done.out) == ("", "")
        assert message.count("\n") == 1, f"more than one line: {message!r}"
        assert message.endswith((".\n", "?\n"))
        return message.strip()

    return refused


@pytest.fixture
def own_run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be changed."""
    return shutil.copytree(trained_run, tmp_path / "own")


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Replaces the trainer by one that is finished at once; lists the configurations that it was given."""
    from charflow.model.training.report import Result

    configs: list[Config] = []

    class Untrained:
        def __init__(self, config: Config, *_: object) -> None:
            configs.append(config)

        def resume(self) -> None: ...

        def train(self) -> Result:
            return Result(
                reason="finished",
                step=0,
                elapsed=0.0,
                windows_per_second=0.0,
                best_step=0,
                train_bits=0.0,
                guess_bits=5.0,
                held_out=None,
            )

    monkeypatch.setattr("charflow.model.training.start.Trainer", Untrained)
    return configs


@pytest.fixture
def full_disk() -> Callable[[int], Any]:
    """Makes a context in which no file can grow over so many bytes, as on a disk that is full."""

    @contextmanager
    def full(n_bytes: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))  # Python ignores the signal SIGXFSZ
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full


@pytest.fixture
def write_chat(tmp_path: Path) -> Callable[..., Path]:
    """Writes a CSV file of two columns, `fromUser.id` and `text`, from rows as they are to stand in it."""

    def write(*rows: str | bytes, name: str = "chat.csv", header: str = "fromUser.id,text") -> Path:
        lines = [row if isinstance(row, bytes) else row.encode() for row in (header, *rows)]
        path = tmp_path / name
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return write
