"""The error every package of charflow raises for what a user can put right, and how other errors read in it.

`cli` prints its message as one sentence and exits with status 2; a program that embeds charflow catches it.
"""

import re

_GRAPH_MARKS = re.compile(r"\{\{[^}]*\}\}\s*|\s*\[Op:\w+\].*")  # TensorFlow's names of nodes and ops
_TRACE = ("Graph execution error", "Detected at node", 'File "', "[[", "node:")


class UserError(ValueError):
    """A wrong file, argument or folder: the message says where, what was found, and what to do next."""


class PeerError(RuntimeError):
    """Another worker of the cluster has not come, or is gone: starting all of them again, with --resume, goes on."""


def reason(error: Exception) -> str:
    """Sums an error of the system or of TensorFlow up in a few words, without a final stop.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a.csv"))
    'No such file or directory'
    """
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    lines = [line.strip() for line in _GRAPH_MARKS.sub("", text).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_TRACE)]
    if not telling:
        return type(error).__name__
    # An error inside a graph comes after a trace of where the graph was made.
    return telling[-1 if lines[0].startswith(_TRACE) else 0].rstrip(".")
