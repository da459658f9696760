"""A small run that one process, replicas or two launched workers train, each with the same losses."""

import subprocess
import sys
from pathlib import Path

from tests import forked

STEPS = 120


def options(chat: str, out: Path) -> list[str]:
    """The command of that run."""
    return [
        "train", chat, "--out", str(out), "--user", "mira", "--units", "16", "--dropout", "0.2",
        "--window-length", "20", "--batch-size", "8", "--steps", str(STEPS), "--evaluations", "2",
        "--checkpoint-every", "20", "--no-cache", "--json",
    ]  # fmt: skip


def launch(chat: str, out: Path) -> subprocess.Popen[str]:
    """Starts two workers that train it, and start again with what they saved: a busy machine may lose one."""
    command = [sys.executable, "-m", "charflow", "launch", "--workers", "2", "--max-restarts", "3", "--"]
    return forked.Popen([*command, *options(chat, out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
