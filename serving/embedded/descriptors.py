"""Shares out the file descriptors of the process: connections get what models, logs and libraries leave.

`server` asks once, when TensorFlow is loaded. Without a bound, whoever opens connections and sends nothing takes the
last descriptor, and then neither door can answer, nor a model be read.
"""

import logging
import resource
from pathlib import Path

_RESERVE = 64  # for models being read, configuration files, and what the libraries open later
_USUAL = 1024  # connections of a door, where neither flag nor limit says less
_FEWEST = 4

_logger = logging.getLogger(__name__)


def connections_per_door(asked: int, doors: int) -> int:
    """Says how many connections each door may have, and raises the process's own limit as far as it may.

    Args:
        asked: connections that were asked for; 0 for the usual number.
        doors: doors that are open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = (asked or _USUAL) * doors + _opened() + _RESERVE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    found = asked or _USUAL
    if soft != resource.RLIM_INFINITY and soft < wanted:
        found = max(_FEWEST, (soft - _opened() - _RESERVE) // doors)
        _logger.warning(
            "The limit of %d open files (ulimit -n) leaves %d connections for each port; %d need %d",
            soft,
            found,
            asked or _USUAL,
            wanted,
        )
    return found


def _opened() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return sum(1 for _ in Path(folder).iterdir())
        except OSError:
            continue
    return _RESERVE
