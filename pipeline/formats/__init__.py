"""Reads chat messages out of files: finds the inputs, decodes them, tells good rows from bad ones."""
