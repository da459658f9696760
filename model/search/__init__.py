"""Searches for settings that predict held-out text better."""
