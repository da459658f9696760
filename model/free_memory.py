"""How much memory this process may still take, and the refusal of what needs more, before any of it is taken.

`plan` knows what a run needs, `generator` what completions need; the command line asks for its worker processes. A
machine without Linux's files has no limit here: its own errors must do.
"""

import resource
from collections.abc import Iterator
from pathlib import Path

from charflow.pipeline.errors import SettingError

_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_CGROUP_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))  # v2, v1
_PAGE = resource.getpagesize()


def refuse_beyond_memory(needed: int, what: str, lower: str = "") -> None:
    """Refuses what needs more memory than there is.

    Args:
        needed: bytes, beside what this process has already.
        what: needs them, with its verb.
        lower: the settings to lower, in braces; none where a larger machine is the only way.

    Raises:
        SettingError: there is less.
    """
    free = free_memory()
    if free is not None and needed > free:
        remedy = f"lower {lower}" if lower else "use a machine that has more"
        raise SettingError(
            f"{{what}} about {{needed}} of memory, and {{free}} are free: {remedy}.",
            what=what,
            needed=_size(needed),
            free=_size(free),
        )


def free_memory() -> int | None:
    """Bytes that this process may still take: of the machine, of its container, of its own limit; None if unknown."""
    return min((max(0, free) for free in (*_machine(), *_containers(), *_own_limit())), default=None)


def _machine() -> Iterator[int]:
    for line in _lines(_PROC / "meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _containers() -> Iterator[int]:
    """What the cgroup of this process has left, and each that it is in; pages of files that it can drop are free."""
    for line in _lines(_PROC / "self" / "cgroup"):
        _, controllers, inner = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = _CGROUPS / controllers
        here = root / inner.strip("/")
        for folder in (here, *here.parents):
            for most, used in _CGROUP_FILES:
                limits, usage = _lines(folder / most), _lines(folder / used)
                if limits and usage and limits[0].isdecimal():
                    yield int(limits[0]) - int(usage[0]) + _droppable(folder)
            if folder == root:
                break


def _droppable(folder: Path) -> int:
    counts = dict(line.split() for line in _lines(folder / "memory.stat"))
    return int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))


def _own_limit() -> Iterator[int]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _lines(_PROC / "self" / "statm")
    if limit != resource.RLIM_INFINITY and pages:
        yield limit - int(pages[0].split()[0]) * _PAGE


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _size(count: int) -> str:
    if count >= 10**15:
        return f"{count / 1e12:,.0f} TB"
    return f"{count / 1e9:,.1f} GB" if count >= 10**8 else f"{count / 1e6:,.1f} MB"
