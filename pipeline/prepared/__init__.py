"""A corpus in numbered shards on disk: writing it, reading it, streaming windows out of it."""
