"""A memory of counts: what followed each stretch of a few characters in the training text, joined to the network."""
