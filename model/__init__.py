"""Configures, trains, evaluates and samples the character-level network."""
