"""One module per command: each parses, calls a package, prints."""
