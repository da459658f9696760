"""Keeps gRPC's C++ runtime from writing to standard error what a command says in its own words."""

import os


def quiet_grpc() -> None:
    """Turns its log down to errors, before gRPC is loaded; a level that the user chose stays."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
