"""What a measurement was taken on."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf

from charflow.pipeline.cores import usable_cores

_CPU_INFO = Path("/proc/cpuinfo")


def machine() -> dict[str, Any]:
    """Names the processor, the GPUs and the versions; nothing that names the machine itself."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "gpus": [each.get("device_name", "GPU") for each in details],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("charflow", "tensorflow", "keras", "numpy")},
    }


def _processor() -> str:
    """The processor's name as Linux has it, or what Python knows."""
    lines = _CPU_INFO.read_text(encoding="utf-8").splitlines() if _CPU_INFO.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def peak_bytes(pid: int) -> int:
    """The most memory that a process had so far; 0 of one that has ended, or where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


def processor_seconds(pid: int) -> float:
    """What a process has had of the processors so far; 0 of one that has ended, or where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # in user and in kernel mode
