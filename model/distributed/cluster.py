"""Lays out a cluster on this machine: the workers' addresses, and each one's share of cores and GPUs.

`charflow launch` starts the workers with `worker_group`; `strategy` reads what they are told here. Worker 0 is the
chief. Nothing in this module loads TensorFlow, which would claim the GPUs that the workers need.
"""

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence

from charflow.model.free_memory import refuse_beyond_memory

CHIEF = 0
JOIN_TIMEOUT = "CHARFLOW_JOIN_TIMEOUT"  # environment variable: seconds that a worker waits for the others to come
JOIN_SECONDS = 120.0  # where it does not say
LONGEST_WAIT = 2_000_000  # seconds: a timeout in milliseconds fits 32 bits
_HOST = "127.0.0.1"
_WORKER_BYTES = 300 << 20  # that TensorFlow alone takes
_NVIDIA_SMI_LIMIT = 10.0  # seconds; it answers in well under one unless the driver hangs


def worker_environments(
    workers: int, *, join_timeout: float, environ: Mapping[str, str], cores: int, gpus: Sequence[str]
) -> list[dict[str, str]]:
    """Makes the environment of every worker of a new cluster, on ports that were free a moment ago.

    TF_CONFIG says who is where. The threads that compute are shared out, so that the workers together start no more of
    them than there are cores; the threads that run ops are at least two, for an op that waits for another worker holds
    one. What the user set stays.

    Args:
        workers: how many there are.
        join_timeout: seconds that each waits for the others.
        environ: the environment that they have in common.
        cores: how many they share.
        gpus: names of the GPUs that they share, as in CUDA_VISIBLE_DEVICES.
    """
    refuse_beyond_memory(workers * _WORKER_BYTES, f"{workers:,} workers need", "{workers}")
    addresses = [f"{_HOST}:{port}" for port in free_ports(workers)]
    share = cores // workers
    threads = {"TF_NUM_INTRAOP_THREADS": str(max(1, share)), "TF_NUM_INTEROP_THREADS": str(max(2, share))}
    common = {**threads, **environ, JOIN_TIMEOUT: f"{join_timeout:g}"}
    environments = []
    for index, own_gpus in enumerate(share_gpus(gpus, workers)):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(own_gpus) or "-1"} if gpus else {}
        environments.append({**common, **visible, "TF_CONFIG": json.dumps(task)})
    return environments


def names_cluster(environ: Mapping[str, str]) -> bool:
    """Whether an environment makes its process one worker of a cluster: by TF_CONFIG, or by Slurm's variables."""
    tasks = environ.get("SLURM_STEP_NUM_TASKS") or environ.get("SLURM_NTASKS") or "1"
    by_slurm = "SLURM_PROCID" in environ and tasks.isdecimal() and int(tasks) > 1  # srun sets it, a mere sbatch not
    return bool(environ.get("TF_CONFIG")) or by_slurm


def free_ports(count: int) -> list[int]:
    """Finds ports that nobody listens on, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((_HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def share_gpus(gpus: Sequence[str], workers: int) -> list[list[str]]:
    """Gives every worker as many GPUs; none to any where there are fewer GPUs than workers.

    Two workers on one GPU cannot reduce their gradients: NCCL refuses it as a duplicate.

    >>> share_gpus(["0", "1", "2", "3"], 2)
    [['0', '1'], ['2', '3']]
    """
    each = len(gpus) // workers
    return [list(gpus[index * each : (index + 1) * each]) for index in range(workers)]


def visible_gpus(environ: Mapping[str, str]) -> list[str]:
    """Names the GPUs that a program started here would see: those of CUDA_VISIBLE_DEVICES, else all of nvidia-smi."""
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return [] if names[0] in ("", "-1") else names
    if not shutil.which("nvidia-smi"):
        return []
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=_NVIDIA_SMI_LIMIT
        ).stdout
    except subprocess.TimeoutExpired:
        return []
    return [str(index) for index, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]
