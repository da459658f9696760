"""Chooses the tf.distribute strategy that everything is trained under, and tells what it is.

`trainer` enters its scope and runs every step through it. With several workers the one that leads is called the chief:
it alone evaluates and writes. The engines are TensorFlow's: MirroredStrategy, MultiWorkerMirroredStrategy, TPUStrategy
and their cluster resolvers.
"""

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

from charflow.model.distributed.cluster import JOIN_SECONDS, JOIN_TIMEOUT, names_cluster
from charflow.model.distributed.rendezvous import meet
from charflow.pipeline.errors import PeerError, SettingError, UserError, reason
from charflow.pipeline.settings import checked
from charflow.sentences import Sentence

_REGISTER_SECONDS = 60.0  # for workers that have met to start TensorFlow
StrategyKind = Literal["auto", "one-device", "mirrored", "multi-worker", "tpu"]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a run computes.

    Attributes:
        strategy: class of the tf.distribute strategy.
        workers: processes that train together.
        worker: which of them this one is; 0 is the chief.
        replicas: copies of the network, over all workers.
        devices: of this worker.
    """

    strategy: str
    workers: int
    worker: int
    replicas: int
    devices: tuple[str, ...]

    @property
    def chief(self) -> bool:
        """Whether this worker evaluates and writes."""
        return self.worker == 0


@checked
def make_strategy(kind: StrategyKind = "auto") -> tf.distribute.Strategy:
    """Makes a strategy; several workers must do so before TensorFlow computes anything.

    GPU memory grows as it is needed, so that other programs keep their share.

    Args:
        kind: "auto" takes several workers where TF_CONFIG or Slurm names them, else all GPUs if there are several,
            else the one GPU, or the CPU.

    Raises:
        UserError: an unknown kind, or one that this machine cannot have.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with suppress(RuntimeError):  # whoever has started the devices has chosen
            tf.config.experimental.set_memory_growth(gpu, True)
    if kind == "tpu":
        return _tpu()
    resolver = _cluster() if kind in ("auto", "multi-worker") else None
    if resolver:
        return _multi_worker(resolver)
    if kind == "multi-worker":
        raise UserError(
            "There is no cluster to train on: set TF_CONFIG, run under Slurm's srun, or on one machine use "
            "charflow launch --workers N -- train ..."
        )
    if kind == "mirrored" or (kind == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy(None if gpus else _logical_cpus())
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def placement(strategy: tf.distribute.Strategy) -> Placement:
    """Tells where a strategy computes."""
    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    resolver = strategy.cluster_resolver if several else None
    workers = len(resolver.cluster_spec().as_dict().get("worker", [])) if resolver else 1
    devices = tuple(tf.DeviceSpec.from_string(name) for name in strategy.extended.worker_devices)
    return Placement(
        strategy="MultiWorkerMirroredStrategy" if several else type(strategy).__name__,  # its class has an older name
        workers=max(1, workers),
        worker=int(resolver.task_id or 0) if resolver else 0,
        replicas=strategy.num_replicas_in_sync,
        devices=tuple(f"{device.device_type}:{device.device_index or 0}" for device in devices),
    )


def check_batch(strategy: tf.distribute.Strategy, batch_size: int) -> None:
    """Makes sure that the replicas can share the global batch evenly.

    Raises:
        UserError: they cannot; the message gives the nearest size that works.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        nearest = max(1, round(batch_size / replicas)) * replicas
        raise SettingError(
            "{count} replicas cannot share a batch of {size}: set {batch_size} to {nearest}.",
            count=f"{replicas:,}",
            size=f"{batch_size:,}",
            nearest=f"{nearest:,}",
        )


def _logical_cpus() -> list[str]:
    return [f"/cpu:{index}" for index, _ in enumerate(tf.config.list_logical_devices("CPU"))]


def _cluster() -> tf.distribute.cluster_resolver.ClusterResolver | None:
    """The cluster that the environment names, if it has several workers or was asked for by TF_CONFIG."""
    if os.environ.get("TF_CONFIG"):
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        try:
            cluster = resolver.cluster_spec().as_dict()
        except (ValueError, TypeError) as error:
            raise UserError(f"TF_CONFIG cannot be read: {error}.") from error
        named = cluster.get("worker") or []
        if set(cluster) != {"worker"} or resolver.task_type != "worker":
            raise UserError(
                'TF_CONFIG must name the cluster\'s "worker" addresses, nothing else (the first of them is the chief), '
                'and this task as a "worker".'
            )
        if not all(address.rpartition(":")[2].isdecimal() for address in named):
            raise UserError(f"TF_CONFIG must give every worker as host:port, not {', '.join(named)}.")
        if not 0 <= int(resolver.task_id or 0) < len(named):
            raise UserError(f"TF_CONFIG makes this task worker {resolver.task_id}, but names {len(named)}, from 0.")
        return resolver
    return _slurm() if names_cluster(os.environ) else None


def _slurm() -> tf.distribute.cluster_resolver.ClusterResolver:
    """Slurm's cluster; where there are no GPUs the resolver is told of one a task, or it would count none."""
    options: dict[str, Any] = {}
    if not tf.config.list_physical_devices("GPU"):
        tasks = os.environ.get("SLURM_STEP_TASKS_PER_NODE", os.environ.get("SLURM_TASKS_PER_NODE", "1"))
        most = max((int(count) for count in re.findall(r"(\d+)(?:\(x\d+\))?", tasks)), default=1)  # of "2(x3),1"
        options = {"gpus_per_node": most, "gpus_per_task": 1, "auto_set_gpu": False}
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(**options)
        workers = resolver.cluster_spec().as_dict()["worker"]
    except Exception as error:  # the resolver runs Slurm's own commands
        raise UserError(f"Slurm's cluster cannot be read: {reason(error)}.") from error
    if resolver.task_id is None:
        found = f"it has no task {os.environ['SLURM_PROCID']} among {len(workers)}"
        raise UserError(f"Slurm's cluster cannot be read: {found}.")
    here, given = os.environ.get("SLURMD_NODENAME", ""), workers[resolver.task_id].rpartition(":")[0]
    if here and given.partition(".")[0] != here.partition(".")[0]:
        raise UserError(
            f"TensorFlow takes Slurm's nodes in alphabetical order and gives task {resolver.task_id} the address of "
            f"{given}, but it runs on {here}: choose nodes whose names sort in Slurm's order, or set TF_CONFIG."
        )
    return resolver


@contextmanager
def naming_lost_peers(here: Placement) -> Iterator[None]:
    """Turns TensorFlow's errors over another worker into a sentence.

    Raises:
        PeerError: another worker is gone.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if here.workers == 1 or isinstance(error, tf.errors.ResourceExhaustedError):
            raise
        raise PeerError(
            Sentence(
                f"worker {here.worker} of {here.workers} has lost another one: start all of them again with {{resume}} "
                "({why}).",
                why=reason(error),
            )
        ) from error


def _multi_worker(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> tf.distribute.Strategy:
    workers, index = resolver.cluster_spec().as_dict()["worker"], int(resolver.task_id or 0)
    seconds = _join_seconds()
    meet(workers, index, seconds=seconds)
    # One that is lost from here on keeps TensorFlow waiting: for an hour, if it is not told otherwise. All have met, so
    # none needs long to register.
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        cluster_register_timeout_in_ms=round(1000 * min(seconds, _REGISTER_SECONDS)),
        coordinated_jobs=[coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=len(workers))],
    )
    try:
        with _struck_by_ctrl_c():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.OpError as error:
        raise PeerError(
            f"worker {index} of {len(workers)} cannot join the others: start all of them again ({reason(error)})."
        ) from error
    return strategy


@contextmanager
def _struck_by_ctrl_c() -> Iterator[None]:
    """Lets Ctrl-C end the process by itself while TensorFlow waits for a worker that may never register.

    It waits with Python's lock in its hands, so that no handler of Python's can run, in whichever thread; and it takes
    SIGTERM for itself first, and lets it pass. That wait is short, and nothing is lost when it is cut short.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if before[signal.SIGINT] != signal.SIG_IGN:  # as behind nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _join_seconds() -> float:
    given = os.environ.get(JOIN_TIMEOUT, "")
    try:
        return float(given or JOIN_SECONDS)
    except ValueError:
        raise UserError(f"{JOIN_TIMEOUT} must be a number of seconds, not {given!r}.") from None


def _tpu() -> tf.distribute.Strategy:
    try:
        # By itself it reads the variable too, but asks Google's API for a TPU named "local".
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(os.environ.get("TPU_NAME"))
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # each way of having no TPU fails in its own
        raise UserError(f"There is no TPU to train on: {reason(error)}.") from error
