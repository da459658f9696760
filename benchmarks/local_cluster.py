"""Lets several processes of this machine train together, and reads what their chief found."""

import json
import os
import sys
from collections.abc import Sequence

from charflow.benchmarks.comparison import OURS, Way
from charflow.model.distributed.cluster import CHIEF, JOIN_SECONDS, visible_gpus, worker_environments
from charflow.model.distributed.stop_signals import StopSignals
from charflow.model.distributed.worker_group import GRACE, run_workers
from charflow.pipeline.cores import usable_cores

_PROCESSES = 2  # by default; more than that say little about a machine that the strategies of one process do not


class ClusterError(Exception):
    """A worker ended with an error.

    Attributes:
        status: its exit status.
        said: what it wrote to standard error.
    """

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said


class ClusterStopped(Exception):  # noqa: N818  # no error
    """A signal ended the cluster.

    Attributes:
        signals: that came.
    """

    def __init__(self, signals: Sequence[int]) -> None:
        super().__init__()
        self.signals = signals


def count_processes(wanted: int | None) -> int:
    """How many processes to measure together; 0 where there is no core or GPU for a second one."""
    if wanted is not None:
        return wanted
    devices = len(visible_gpus(os.environ)) or usable_cores()
    return _PROCESSES if devices >= _PROCESSES else 0


def measure_cluster(words: Sequence[str], workers: int) -> Way:
    """Runs `charflow bench train` with these words in every worker of a local cluster.

    Raises:
        ClusterError, ClusterStopped: it has no figures.
    """
    command = [sys.executable, "-m", "charflow", "bench", "train", "--json", *words]
    environments = worker_environments(
        workers, join_timeout=JOIN_SECONDS, environ=os.environ, cores=usable_cores(), gpus=visible_gpus(os.environ)
    )
    heard = _Heard()
    with StopSignals() as signals:
        ending = run_workers(command, environments, grace=GRACE, listener=heard, signals=signals)
    if signals.asked:
        raise ClusterStopped(list(signals.asked))
    if ending.status:
        raise ClusterError(ending.status, heard.text(ending.worker or CHIEF, "err"))
    (comparison,) = json.loads(heard.text(CHIEF, "out"))["benches"]["train"]
    (way,) = comparison["ways"]
    return Way(name=f"charflow, {workers} processes", kind=OURS, figures=tuple(way["figures"]))


class _Heard:
    """Keeps what workers write."""

    def __init__(self) -> None:
        self._streams: dict[tuple[int, str], bytearray] = {}

    def wrote(self, worker: int, stream: str, chunk: bytes) -> None:
        self._streams.setdefault((worker, stream), bytearray()).extend(chunk)

    def text(self, worker: int, stream: str) -> str:
        return self._streams.get((worker, stream), bytearray()).decode(errors="replace")
