"""Keeps back what TensorFlow's C++ runtime logs in a worker, until it turns out to matter.

It writes there behind Python's back, whatever level is asked for: hints about the processor, and, when a cluster ends,
that connections were closed. `worker_output` hands everything through here; where a worker fails, it is shown.
"""

import re
from collections import deque

_MOST_KEPT = 40  # lines: the last ones tell what happened
_FURTHER = r"^Additional GRPC error information|^:\{\"created\"|^:UNKNOWN:"  # lines of one entry after its first
_LOGGED = re.compile(
    # Severity and date, time, thread, place in the source.
    rf"(?:[IWE]\d{{4}} \d\d:\d\d:\d+\.\d+ +\d+ [\w./-]+:\d+\] |{_FURTHER})[^\n]*\n",
    re.MULTILINE,
)
_BEGUN = re.compile(rf"(?:[IWE]\d{{4}} \d\d:|{_FURTHER})[^\n]*\Z", re.MULTILINE)


class RuntimeLog:
    """Takes the runtime's lines out of what one worker writes."""

    def __init__(self) -> None:
        self._kept: deque[str] = deque(maxlen=_MOST_KEPT)
        self._rest = ""

    def without(self, text: str, *, final: bool = False) -> str:
        """Gives the text without them; what has begun like one is held until it is whole.

        >>> RuntimeLog().without("E0000 00:00:1795630830.36 9081 util.cc:131] oneDNN\\nstep 1\\n")
        'step 1\\n'
        """
        text = _LOGGED.sub(self._keep, self._rest + text)
        begun = None if final else _BEGUN.search(text)
        self._rest = text[begun.start() :] if begun else ""
        return text[: begun.start()] if begun else text

    def take(self) -> list[str]:
        """Gives the last lines that were kept back, and forgets them."""
        lines = [line for entry in self._kept for line in entry.splitlines()]
        self._kept.clear()
        return lines

    def _keep(self, found: re.Match[str]) -> str:
        self._kept.append(found[0])
        return ""
