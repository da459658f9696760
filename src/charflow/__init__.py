"""charflow: from a chat export to a text generator that any TensorFlow system can serve.

The folders beside this file are links to those at the root of the repository: each is the package `charflow.<folder>`.
"""

__version__: str


def __getattr__(name: str) -> str:
    """Looks the version up when it is asked for: that takes longer than all else before a command hears Ctrl-C."""
    if name == "__version__":
        from importlib.metadata import version

        return version("charflow")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
