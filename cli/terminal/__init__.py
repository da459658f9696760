"""Everything that is written for a person's eyes, or read from their streams."""
