"""Starts a server: the stock binary, its Docker image, or the embedded server."""
