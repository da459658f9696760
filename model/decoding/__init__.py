"""Reads and writes text with trained weights."""
