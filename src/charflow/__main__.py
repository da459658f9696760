"""Runs the command line as `python -m charflow`."""

from charflow.cli import main

main()
