"""How many processors there are for this process: what works side by side asks, in the pipeline and above it."""

import os


def usable_cores() -> int:
    """Counts the cores that this process may use, which in a container or a Slurm step are fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
