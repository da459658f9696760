"""The `charflow` command: parses, builds configurations, calls the packages, prints."""

from charflow.cli import interrupts


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 2 a mistake the user can put right, 130 and 143 stopped by a signal."""
    with interrupts.heard():
        from charflow.cli.app import main as command  # here, because it takes a while to load

        command(arguments)


__all__ = ["main"]
