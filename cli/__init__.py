"""The `charflow` command: parses, builds configurations, calls the packages, prints."""

import sys

from charflow.cli import interrupts
from charflow.cli.terminal.streams import open_streams


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 2 a mistake the user can put right, 130 and 143 stopped by a signal."""
    open_streams()
    with interrupts.heard():
        from charflow.cli.app import run  # here, because it takes a while to load

        sys.exit(run(arguments))


__all__ = ["main"]
