"""Runs the command line as `python -m charflow.cli`."""

from charflow.cli.app import main

main()
