"""Trains a network inside a run folder, and reports on it."""
