"""The `charflow` command: parses, builds configurations, calls the packages, prints."""

from charflow.cli.app import main

__all__ = ["main"]
