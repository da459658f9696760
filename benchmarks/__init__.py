"""Measures charflow beside the tutorial recipe, other ways to do the same, and what the machine could do at most."""
